//! A locked package that its mirrors dropped or replaced, and folders that hold all a lock names.

use miette::Diagnostic as _;
use smolvm_fetch::{FetchError, FetchEvent, Fetcher, Mirror, MirrorOrigin, Wanted, WantedPackage};

use crate::server::{Server, answer, file};
use crate::support::{Bench, content, mirror, nobody, wanted, wanted_at};

const PATH: &str = "pool/main/h/hello/hello_1.0_amd64.deb";

/// As a lock asks for it.
fn locked(content: &[u8]) -> Wanted {
    let package = WantedPackage { version: "1.0".to_owned(), archive: "debian".to_owned() };
    Wanted { package: Some(package), ..wanted(content) }.vendored_at("debian", PATH).unwrap()
}

async fn serving(content: &[u8]) -> Server {
    let content = content.to_vec();
    Server::start(move |request| file(request, &content, &[])).await
}

async fn without() -> Server {
    Server::start(|_| answer("404 Not Found", &[], b"no such file")).await
}

fn snapshot(server: &Server) -> Mirror {
    Mirror::new(&format!("{}/archive/debian/20260711T101637Z", server.address()), MirrorOrigin::Snapshot).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mirrors_dropped_comes_from_the_snapshot() {
    let (bench, content) = (Bench::new(), content(1000));
    let (gone, kept) = (Server::start(|_| answer("410 Gone", &[], b"")).await, serving(&content).await);
    let one_missing = without().await;
    // The snapshot is the last to be asked, wherever it stands, and a mirror that is away has no say.
    let all = [snapshot(&kept), mirror(gone.address()), nobody().await, mirror(one_missing.address())];
    let file = bench.fetcher().fetch(&locked(&content), &all).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!((gone.requests().len(), one_missing.requests().len()), (1, 1));
    assert_eq!(kept.requests()[0].path, format!("/archive/debian/20260711T101637Z/{PATH}"));
    let told = |event: &FetchEvent| matches!(event, FetchEvent::Gone { name, version } if &**name == "hello" && version == "1.0");
    assert!(bench.events().iter().any(told), "{:?}", bench.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_replaced_is_told_and_never_used() {
    let (bench, content) = (Bench::new(), content(1000));
    let other = vec![7; 1000];
    let (replaced, kept) = (serving(&other).await, serving(&content).await);
    let live = mirror(replaced.address());
    let file = bench.fetcher().fetch(&locked(&content), &[live.clone(), snapshot(&kept)]).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    let told = |event: &FetchEvent| matches!(event, FetchEvent::Replaced { mirror, .. } if *mirror == live.to_string());
    assert!(bench.events().iter().any(told), "{:?}", bench.events());

    // Neither by the mirror's word nor by the snapshot's.
    let bench = Bench::new();
    let error = bench.fetcher().fetch(&locked(&content), &[live, snapshot(&replaced)]).await.unwrap_err();
    assert!(matches!(&error, FetchError::Gone(gone) if gone.failures.len() == 2), "{error:?}");
    assert!(!bench.entry(&wanted(&content)).exists() && !bench.partial(&wanted(&content)).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nowhere_is_refused_by_name_with_what_was_tried_and_what_to_do() {
    let (bench, content) = (Bench::new(), content(1000));
    let (gone, also_gone) = (without().await, without().await);
    let secret = gone.address().replace("http://", "http://me:canary@");
    let secret = [mirror(&secret), snapshot(&also_gone)];
    let error = bench.fetcher().fetch(&locked(&content), &secret).await.unwrap_err();
    let help = error.help().unwrap().to_string();
    let text = format!("{error}\n{help}");
    let digest = hex::encode(wanted(&content).sha256);
    for word in [
        "hello 1.0 of `debian`",
        PATH,
        &digest,
        "it answered 404 Not Found",
        &secret[0].to_string(),
        &secret[1].to_string(),
        "`smolvm lock --update hello`",
        "SMOLVM_SNAPSHOT_DEBIAN",
        "`--mirror-dir`",
    ] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    assert!(!format!("{text}{error:?}").contains("canary"), "{text}");

    // Without a snapshot it is the same answer.
    let error = bench.fetcher().fetch(&locked(&content), &secret[..1]).await.unwrap_err();
    assert!(matches!(&error, FetchError::Gone(gone) if gone.failures.len() == 1), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_not_asked_for_what_mirrors_have_or_may_have() {
    let content = content(1000);
    let (has, gone, kept) = (serving(&content).await, without().await, serving(&content).await);
    let busy = Server::start(|_| answer("503 Service Unavailable", &[], b"")).await;
    let locked = locked(&content);

    let bench = Bench::new();
    bench.fetcher().fetch(&locked, &[mirror(gone.address()), mirror(has.address()), snapshot(&kept)]).await.unwrap();
    for away in [vec![mirror(busy.address()), mirror(gone.address())], vec![nobody().await]] {
        let bench = Bench::new();
        let all = [away, vec![snapshot(&kept)]].concat();
        let error = bench.fetcher().fetch(&locked, &all).await.unwrap_err();
        assert!(matches!(error, FetchError::Unavailable { .. }), "{error:?}");
    }
    // An index, and what no lock names.
    let bench = Bench::new();
    let error = bench.fetcher().fetch(&wanted(&content), &[mirror(gone.address()), snapshot(&kept)]).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    let index = smolvm_fetch::WantedIndex::new("index", "InRelease", 10_000).unwrap();
    let accept = |_: &[u8]| Ok::<_, FetchError>(());
    bench.fetcher().fetch_index(&index, &[mirror(gone.address()), snapshot(&kept)], accept).await.unwrap_err();
    assert_eq!(kept.requests().len(), 0, "{:?}", kept.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendored_folder_is_taken_from_alone_and_proven() {
    let (bench, content) = (Bench::new(), content(1000));
    let (server, folder) = (serving(&content).await, tempfile::tempdir().unwrap());
    let all = [mirror(server.address()), snapshot(&server)];
    // The cache has it, and that is no matter.
    bench.fetcher().fetch(&locked(&content), &all).await.unwrap();
    let before = server.requests().len();
    let mut options = bench.options();
    options.vendored = Some(folder.path().to_owned());
    let fetcher = Fetcher::new(options);
    let place = folder.path().join("debian").join(PATH);
    let shown = folder.path().display().to_string();

    let error = fetcher.fetch(&locked(&content), &all).await.unwrap_err();
    assert!(matches!(error, FetchError::NotVendored { .. }), "{error:?}");
    let text = format!("{error}\n{}", error.help().unwrap());
    for word in ["hello", PATH, &shown, "`smolvm vendor "] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }

    fs_err::create_dir_all(place.parent().unwrap()).unwrap();
    fs_err::write(&place, &content).unwrap();
    let file = fetcher.fetch(&locked(&content), &all).await.unwrap();
    assert_eq!((file.content().unwrap(), file.path()), (content.clone(), place.as_path()));

    let changed = {
        let mut changed = content.clone();
        changed[500] ^= 1;
        changed
    };
    for damaged in [changed, content[..999].to_vec(), [&content[..], b"x"].concat(), Vec::new()] {
        fs_err::write(&place, &damaged).unwrap();
        let error = fetcher.fetch(&locked(&content), &all).await.unwrap_err();
        assert!(matches!(error, FetchError::VendoredDamaged { .. }), "{error:?}");
        assert!(error.to_string().contains("hello") && error.to_string().contains(&shown), "{error}");
        assert_eq!(fs_err::read(&place).unwrap(), damaged, "what is not ours was changed");
    }
    fs_err::remove_file(&place).unwrap();
    fs_err::create_dir(&place).unwrap();
    let error = fetcher.fetch(&locked(&content), &all).await.unwrap_err();
    assert!(matches!(error, FetchError::VendoredDamaged { .. }), "{error:?}");

    // What has no place in such a folder is in none.
    let error = fetcher.fetch(&wanted(&content), &all).await.unwrap_err();
    assert!(matches!(error, FetchError::NotVendored { place: None, .. }), "{error:?}");
    let index = smolvm_fetch::WantedIndex::new("index", "InRelease", 10_000).unwrap();
    let accept = |_: &[u8]| Ok::<_, FetchError>(());
    fetcher.fetch_index(&index, &all, accept).await.unwrap_err();
    assert_eq!(server.requests().len(), before, "the network was used");
}

#[test]
fn no_place_leads_out_of_the_folder() {
    let wanted = wanted_at("x", b"");
    for (archive, path) in [("..", "x"), ("", "x"), ("a/b", "x"), ("debian", "../x"), ("debian", ""), (".", "x")] {
        let error = wanted.clone().vendored_at(archive, path).unwrap_err();
        assert!(error.to_string().contains("leads out of"), "{error}");
    }
    let placed = wanted.vendored_at("debian", "/pool/x").unwrap();
    assert_eq!(placed.vendored.as_deref(), Some("debian/pool/x"));
}

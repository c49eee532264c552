//! The download cache.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;

use smolvm_fetch::{FetchError, FetchEvent, Fetcher, VerifiedFile, VerifyError};

use crate::server::{Server, file};
use crate::support::{Bench, content, mirrors, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_time_needs_no_network() {
    let (bench, content) = (Bench::new(), content(300_000));
    let server = serving(&content).await;
    let (wanted, mirrors) = (wanted(&content), mirrors(&[&server]));
    bench.fetcher().fetch(&wanted, &mirrors).await.unwrap();
    let mode = bench.entry(&wanted).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o444);

    let file = bench.fetcher().fetch(&wanted, &mirrors).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!(server.requests().len(), 1);
    assert!(matches!(bench.events().last(), Some(FetchEvent::Finished { cached: true, bytes: 300_000, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_removed_and_fetched_again() {
    let content = content(300_000);
    let server = serving(&content).await;
    let mut flipped = content.clone();
    flipped[299_999] ^= 0x80;
    for damaged in [flipped, content[..1000].to_vec(), Vec::new()] {
        let (bench, wanted) = (Bench::new(), wanted(&content));
        fs_err::create_dir_all(bench.entry(&wanted).parent().unwrap()).unwrap();
        fs_err::write(bench.entry(&wanted), &damaged).unwrap();
        let file = bench.fetcher().fetch(&wanted, &mirrors(&[&server])).await.unwrap();
        assert_eq!(file.content().unwrap(), content);
        assert_eq!(fs_err::read(bench.entry(&wanted)).unwrap(), content);
        assert!(bench.events().iter().any(|event| matches!(event, FetchEvent::DamagedCacheEntry { .. })));

        // Offline there is nothing to fetch it from, but it is not used either.
        fs_err::remove_file(bench.entry(&wanted)).unwrap();
        fs_err::write(bench.entry(&wanted), &damaged).unwrap();
        let error = offline(&bench).fetch(&wanted, &mirrors(&[&server])).await.unwrap_err();
        assert!(matches!(error, FetchError::Offline { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_uses_the_cache_and_nothing_else() {
    let (bench, content) = (Bench::new(), content(1000));
    let server = serving(&content).await;
    let (wanted, mirrors) = (wanted(&content), mirrors(&[&server]));
    let error = offline(&bench).fetch(&wanted, &mirrors).await.unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error:?}");
    assert!(server.requests().is_empty());
    bench.fetcher().fetch(&wanted, &mirrors).await.unwrap();
    offline(&bench).fetch(&wanted, &mirrors).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_a_file() {
    let bench = Bench::new();
    let server = serving(b"").await;
    let file = bench.fetcher().fetch(&wanted(b""), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.size(), 0);
    assert!(bench.entry(&wanted(b"")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_proven_stays_what_is_read() {
    let (bench, content) = (Bench::new(), content(100_000));
    let server = serving(&content).await;
    let wanted = wanted(&content);
    let mut file = bench.fetcher().fetch(&wanted, &mirrors(&[&server])).await.unwrap();
    // Somebody puts another file in its place.
    fs_err::remove_file(bench.entry(&wanted)).unwrap();
    fs_err::write(bench.entry(&wanted), b"evil").unwrap();

    let mut half = vec![0; 50_000];
    file.read_exact(&mut half).unwrap();
    let mut clone = file.clone();
    let mut all = Vec::new();
    clone.read_to_end(&mut all).unwrap();
    assert_eq!(all, content, "a clone begins at the beginning");
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, content[50_000..], "and moves nobody else");
    assert_eq!(file.seek(SeekFrom::End(-1)).unwrap(), 99_999);
    assert_eq!(file.read(&mut half).unwrap(), 1);
}

#[test]
fn a_local_file_is_proven_by_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, content) = (folder.path().join("x.deb"), content(1000));
    fs_err::write(&path, &content).unwrap();
    let wanted = wanted(&content);
    let file = VerifiedFile::from_local(&path, 1000, wanted.sha256).unwrap();
    assert_eq!(file.content().unwrap(), content);
    for (size, sha256) in [(999, wanted.sha256), (1001, wanted.sha256), (1000, [0; 32])] {
        let error = VerifiedFile::from_local(&path, size, sha256).unwrap_err();
        assert!(matches!(error, VerifyError::WrongContent { .. }), "{error:?}");
    }
}

async fn serving(content: &[u8]) -> Server {
    let content = content.to_vec();
    Server::start(move |request| file(request, &content, &[])).await
}

fn offline(bench: &Bench) -> Fetcher {
    let mut options = bench.options();
    options.offline = true;
    Fetcher::new(options)
}

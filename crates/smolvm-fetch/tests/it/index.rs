//! Signed indexes: asked for only if they changed, and kept only if they were accepted.

use miette::Diagnostic;
use smolvm_fetch::{FetchError, Fetcher, IndexError, WantedIndex};
use thiserror::Error;

use crate::server::{Request, Server, answer, head};
use crate::support::{Bench, mirrors, nobody};

#[derive(Debug, Error, Diagnostic)]
#[error("not signed by anybody")]
#[diagnostic(code(test::unsigned))]
struct Unsigned;

#[expect(clippy::unnecessary_wraps, reason = "it is a check")]
fn accept(bytes: &[u8]) -> Result<String, Unsigned> {
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn accept_signed(bytes: &[u8]) -> Result<String, Unsigned> {
    if bytes.starts_with(b"signed") { accept(bytes) } else { Err(Unsigned) }
}

fn wanted() -> WantedIndex {
    WantedIndex::new("bookworm", "dists/bookworm/InRelease", 10_000).unwrap()
}

/// Serves `text` under a tag, unless the client has that tag already.
fn tagged(request: &Request, tag: &str, text: &str) -> Vec<crate::server::Piece> {
    if request.header("if-none-match") == Some(tag) {
        vec![head("304 Not Modified", &[("ETag", tag)])]
    } else {
        answer("200 OK", &[("ETag", tag)], text.as_bytes())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_did_not_change_is_not_sent_again() {
    let bench = Bench::new();
    let server = Server::start(|request| match request.number {
        0..=2 => tagged(request, "\"1\"", "signed one"),
        _ => tagged(request, "\"2\"", "signed two"),
    })
    .await;
    let mirrors = mirrors(&[&server]);
    let fetch = async || bench.fetcher().fetch_index(&wanted(), &mirrors, accept_signed).await.unwrap();
    assert_eq!(fetch().await, "signed one");
    assert_eq!(fetch().await, "signed one");
    assert_eq!(server.requests()[1].header("if-none-match"), Some("\"1\""));
    // A torn file in the cache is as good as none.
    for entry in fs_err::read_dir(bench.cache.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs_err::read(&path).unwrap();
        fs_err::write(&path, &text[..text.len() - 3]).unwrap();
    }
    assert_eq!(fetch().await, "signed one");
    assert_eq!(server.requests()[2].header("if-none-match"), None);
    assert_eq!(fetch().await, "signed two");
    assert_eq!(server.requests()[3].header("if-none-match"), Some("\"1\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_refused_is_looked_for_elsewhere_and_not_kept() {
    let bench = Bench::new();
    let bad = Server::start(|request| tagged(request, "\"x\"", "forged")).await;
    let good = Server::start(|request| tagged(request, "\"x\"", "signed")).await;
    let both = mirrors(&[&bad, &good]);
    assert_eq!(bench.fetcher().fetch_index(&wanted(), &both, accept_signed).await.unwrap(), "signed");
    let asked = bad.requests();
    assert_eq!(asked.len(), 2, "once more, past caches");
    assert_eq!(asked[1].header("cache-control"), Some("no-cache"));

    let bad_first = mirrors(&[&bad]);
    let dead = nobody().await;
    let error = bench.fetcher().fetch_index(&wanted(), &[dead, bad_first[0].clone()], accept_signed).await.unwrap_err();
    let IndexError::Refused { mirror, others, refusal: Unsigned, .. } = &error else { panic!("{error:?}") };
    assert_eq!((mirror, others.len()), (&bad_first[0].to_string(), 1));
    assert!(bad.requests().iter().all(|request| request.header("if-none-match").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_index_that_is_refused_now_is_asked_for_without_condition() {
    let bench = Bench::new();
    let server =
        Server::start(|request| tagged(request, "\"1\"", if request.number == 0 { "old" } else { "signed" })).await;
    let mirrors = mirrors(&[&server]);
    assert_eq!(bench.fetcher().fetch_index(&wanted(), &mirrors, accept).await.unwrap(), "old");
    assert_eq!(bench.fetcher().fetch_index(&wanted(), &mirrors, accept_signed).await.unwrap(), "signed");
    let conditions: Vec<_> =
        server.requests().iter().map(|request| request.header("if-none-match").is_some()).collect();
    assert_eq!(conditions, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_uses_the_kept_index() {
    let bench = Bench::new();
    let server = Server::start(|request| tagged(request, "\"1\"", "signed")).await;
    let mirrors = mirrors(&[&server]);
    let mut options = bench.options();
    options.offline = true;
    let offline = Fetcher::new(options);
    let error = offline.fetch_index(&wanted(), &mirrors, accept_signed).await.unwrap_err();
    assert!(matches!(error, IndexError::Fetch(FetchError::Offline { .. })), "{error:?}");
    bench.fetcher().fetch_index(&wanted(), &mirrors, accept_signed).await.unwrap();
    assert_eq!(offline.fetch_index(&wanted(), &mirrors, accept_signed).await.unwrap(), "signed");
    assert_eq!(server.requests().len(), 1);
    let error = offline.fetch_index(&wanted(), &mirrors, |_| Err::<(), _>(Unsigned)).await.unwrap_err();
    assert!(matches!(error, IndexError::Refused { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_has_a_limit_and_can_be_missing() {
    let bench = Bench::new();
    let declared = Server::start(|_| answer("200 OK", &[], &[b'x'; 10_001])).await;
    let undeclared =
        Server::start(|_| vec![head("200 OK", &[]), crate::server::Piece::Bytes(vec![b'x'; 10_001])]).await;
    for server in [&declared, &undeclared] {
        let error = bench.fetcher().fetch_index(&wanted(), &mirrors(&[server]), accept).await.unwrap_err();
        assert!(error.to_string().contains("more than the 10000 bytes"), "{error}");
    }
    let missing = Server::start(|_| answer("404 Not Found", &[], b"")).await;
    let error = bench.fetcher().fetch_index(&wanted(), &mirrors(&[&missing]), accept).await.unwrap_err();
    assert!(matches!(&error, IndexError::Fetch(error) if error.is_not_found()), "{error:?}");
}

//! A password in a mirror's address reaches that mirror, and nothing else.

use std::fmt::Write as _;

use crate::server::{Server, answer, cut, file};
use crate::support::{Bench, content, mirror, wanted};

const CANARY: &str = "c4n4ry";

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_sent_to_its_mirror_and_shown_nowhere() {
    let content = content(10_000);
    let other = Server::start({
        let content = content.clone();
        move |request| file(request, &content, &[])
    })
    .await;
    let elsewhere = format!("{}/x", other.address()).replace("127.0.0.1", "localhost");
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => cut(&content, 10, &[]),
            1 => answer("503 Service Unavailable", &[], b""),
            2 => answer("200 OK", &[], &[0; 10_000]),
            _ => answer("302 Found", &[("Location", &elsewhere)], b""),
        }
    })
    .await;
    let with_password = |address: &str| mirror(&address.replace("http://", &format!("http://me:{CANARY}@")));
    let bench = Bench::new();
    let secret = with_password(server.address());
    bench.fetcher().fetch(&wanted(&content), std::slice::from_ref(&secret)).await.unwrap();
    // base64 of "me:c4n4ry"
    assert!(server.requests().iter().all(|request| request.header("authorization") == Some("Basic bWU6YzRuNHJ5")));
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()), "another machine");

    let mut shown = format!("{:?} {secret} {secret:?} {:?}", bench.events(), bench.fetcher());
    let circle = Server::start(|request| answer("302 Found", &[("Location", &request.path)], b"")).await;
    let nobody = crate::support::nobody().await.to_string().replace("/debian", "");
    for address in [circle.address(), &nobody] {
        let bench = Bench::new();
        let error = bench.fetcher().fetch(&wanted(&content), &[with_password(address)]).await.unwrap_err();
        let _ = write!(shown, "{error} {error:?} {:?}", bench.events());
    }
    assert!(shown.contains("***@"));
    assert!(!shown.contains(CANARY) && !shown.contains("bWU6YzRuNHJ5"), "{shown}");
    let left = std::process::Command::new("grep").args(["-rl", CANARY]).arg(bench.cache.path()).output().unwrap();
    assert!(left.stdout.is_empty());
}

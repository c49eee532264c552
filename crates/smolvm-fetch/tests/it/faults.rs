//! Mirrors that are down, slow, confused or lying.

use std::time::{Duration, Instant};

use smolvm_fetch::{FetchError, FetchEvent, Fetcher, Mirror, Wanted};

use crate::server::{Piece, Server, answer, cut, file, head};
use crate::support::{Bench, content, mirror, mirrors, nobody, wanted, wanted_at};

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_refuses_is_asked_again_and_named_in_the_error() {
    let (bench, content) = (Bench::new(), content(1000));
    let mirror = nobody().await;
    let error = bench.fetcher().fetch(&wanted(&content), std::slice::from_ref(&mirror)).await.unwrap_err();
    assert!(matches!(&error, FetchError::Unavailable { failures, .. } if failures[0].attempts == 4), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&mirror.to_string()) && text.contains("onnection refused"), "{text}");
    assert!(text.contains("hello"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_does_not_answer_the_connection_is_given_up_in_time() {
    let (bench, content) = (Bench::new(), content(1000));
    // A full backlog drops what comes next, as an unreachable machine does.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address));
    let mut waiting = Vec::new();
    while let Ok(stream) = connect().await {
        waiting.push(stream.unwrap());
    }
    let good = Server::start({
        let content = content.clone();
        move |request| file(request, &content, &[])
    })
    .await;
    let dead = mirror(&format!("http://{address}"));
    let start = Instant::now();
    let all = [dead, mirror(good.address())];
    let file = bench.fetcher().fetch(&wanted(&content), &all).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert!(start.elapsed() < Duration::from_secs(3), "two connects of half a second each: {:?}", start.elapsed());
    let gave_up =
        |event: &FetchEvent| matches!(event, FetchEvent::NextMirror { reason, .. } if reason.contains("in time"));
    assert!(bench.events().iter().any(gave_up), "{:?}", bench.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mirror_is_asked_last_for_the_next_file() {
    let (bench, one, two) = (Bench::new(), content(1000), content(2000));
    let good = Server::start({
        let (one, two) = (one.clone(), two.clone());
        move |request| file(request, if request.path.ends_with('1') { &one } else { &two }, &[])
    })
    .await;
    let all = [nobody().await, mirror(good.address())];
    let fetcher = bench.fetcher();
    fetcher.fetch(&wanted_at("1", &one), &all).await.unwrap();
    let before = bench.events().len();
    fetcher.fetch(&wanted_at("2", &two), &all).await.unwrap();
    let later = bench.events().split_off(before);
    assert!(
        !later.iter().any(|event| matches!(event, FetchEvent::Retrying { .. } | FetchEvent::NextMirror { .. })),
        "{later:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_falls_silent_is_asked_for_the_rest() {
    let (bench, content) = (Bench::new(), content(300_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => {
                let mut pieces = cut(&content, 100_000, &[]);
                pieces.push(Piece::Wait(Duration::from_mins(1)));
                pieces
            }
            _ => file(request, &content, &[]),
        }
    })
    .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!(server.requests()[1].start(), Some(100_000));
    let told = |event: &FetchEvent| matches!(event, FetchEvent::Retrying { reason, .. } if reason.contains("nothing arrived for"));
    assert!(bench.events().iter().any(told), "{:?}", bench.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_never_answers_is_given_up() {
    let (bench, content) = (Bench::new(), content(1000));
    let server = Server::start(|_| vec![Piece::Wait(Duration::from_mins(1))]).await;
    let mut options = bench.options();
    options.timeouts.answer = Duration::from_millis(100);
    let error = Fetcher::new(options).fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 100ms"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_is_left_for_a_better_mirror_which_goes_on_from_there() {
    let (bench, content) = (Bench::new(), content(50_000));
    let trickle = Server::start({
        let content = content.clone();
        move |_| {
            let mut pieces = cut(&content, 0, &[]);
            for byte in &content[..500] {
                pieces.extend([Piece::Bytes(vec![*byte]), Piece::Wait(Duration::from_millis(20))]);
            }
            pieces
        }
    })
    .await;
    let good = Server::start({
        let content = content.clone();
        move |request| file(request, &content, &[])
    })
    .await;
    let mut options = bench.options();
    options.timeouts.slow_over = Duration::from_secs(1);
    options.timeouts.slow_bytes_per_second = 1000;
    let file = Fetcher::new(options).fetch(&wanted(&content), &mirrors(&[&trickle, &good])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!(trickle.requests().len(), 1, "a slow mirror is not asked twice");
    assert!(good.requests()[0].start().is_some_and(|start| start > 10), "{:?}", good.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_looked_for_at_the_next_mirror_without_asking_twice() {
    let (bench, content) = (Bench::new(), content(1000));
    let without = Server::start(|_| answer("404 Not Found", &[], b"no such file")).await;
    let with = Server::start({
        let content = content.clone();
        move |request| file(request, &content, &[])
    })
    .await;
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&without, &with])).await.unwrap();
    assert_eq!(without.requests().len(), 1);
    assert_eq!(with.requests()[0].path, "/debian/pool/main/h/hello/hello_1.0_amd64.deb");

    let other = Bench::new();
    let error = other.fetcher().fetch(&wanted(&content), &mirrors(&[&without, &without])).await.unwrap_err();
    assert!(error.is_not_found() && !error.is_host_fault(), "{error:?}");
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_mirror_is_asked_again_when_it_says() {
    let (bench, content) = (Bench::new(), content(1000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => answer("503 Service Unavailable", &[("Retry-After", "1")], b""),
            1 => answer(
                "429 Too Many Requests",
                &[("Date", "Mon, 23 Nov 2026 10:00:00 GMT"), ("Retry-After", "Mon, 23 Nov 2026 10:00:01 GMT")],
                b"",
            ),
            _ => file(request, &content, &[]),
        }
    })
    .await;
    let start = Instant::now();
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(server.requests().len(), 3);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_busy_for_ever_is_given_up() {
    let (bench, content) = (Bench::new(), content(1000));
    let server = Server::start(|_| answer("503 Service Unavailable", &[], b"")).await;
    let error = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap_err();
    assert_eq!(server.requests().len(), 4);
    assert!(error.to_string().contains("it answered 503 Service Unavailable (asked 4 times)"), "{error}");

    let patient = Server::start(|_| answer("503 Service Unavailable", &[("Retry-After", "3600")], b"")).await;
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&patient])).await.unwrap_err();
    assert_eq!(patient.requests().len(), 1, "nobody waits for an hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_asked_for_once_more_past_caches_and_then_elsewhere() {
    let (bench, content) = (Bench::new(), content(70_000));
    let mut changed = content.clone();
    changed[35_000] ^= 1;
    let bad = Server::start(move |request| file(request, &changed, &[])).await;
    let good = Server::start({
        let content = content.clone();
        move |request| file(request, &content, &[])
    })
    .await;
    let verified = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&bad, &good])).await.unwrap();
    assert_eq!(verified.content().unwrap(), content);
    let asked = bad.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].header("cache-control"), asked[1].header("cache-control")), (None, Some("no-cache")));
    assert_eq!(asked[1].start(), None, "nothing of the wrong bytes is kept");
    assert_eq!(good.requests()[0].start(), None, "nothing of the wrong bytes is kept");

    let bench = Bench::new();
    let wanted = wanted(&content);
    let error = bench.fetcher().fetch(&wanted, &mirrors(&[&bad])).await.unwrap_err();
    assert!(matches!(error, FetchError::WrongContent { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("70000 bytes with sha256 {}", hex::encode(wanted.sha256))), "{error}");
    assert!(!bench.entry(&wanted).exists() && !bench.partial(&wanted).exists(), "nothing wrong stays in the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_wrong_length_is_refused_before_or_as_it_arrives() {
    let content = content(10_000);
    let wanted = wanted(&content);
    let longer = [content.clone(), b"and more".to_vec()].concat();
    // Declared: refused at the head. Not declared: refused when the limit is passed. Fewer: refused at the head.
    let declared = Server::start({
        let longer = longer.clone();
        move |_| answer("200 OK", &[], &longer)
    })
    .await;
    let undeclared = Server::start({
        let longer = longer.clone();
        move |_| vec![head("200 OK", &[]), Piece::Bytes(longer.clone())]
    })
    .await;
    let fewer = Server::start({
        let content = content.clone();
        move |_| answer("200 OK", &[], &content[1..])
    })
    .await;
    for (server, reason) in [
        (&declared, "10008 bytes instead of 10000"),
        (&undeclared, "more than the 10000"),
        (&fewer, "9999 bytes instead"),
    ] {
        let bench = Bench::new();
        let error = bench.fetcher().fetch(&wanted, &mirrors(&[server])).await.unwrap_err();
        assert!(matches!(error, FetchError::WrongContent { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!bench.partial(&wanted).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_declares_less_than_it_sends_is_believed_no_further_than_that() {
    let (bench, content) = (Bench::new(), content(10_000));
    let longer = [content.clone(), b"HTTP/1.1 200 OK\r\n\r\nsmuggled".to_vec()].concat();
    let server =
        Server::start(move |_| vec![head("200 OK", &[("Content-Length", "10000")]), Piece::Bytes(longer.clone())])
            .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_unknown_size_has_a_limit() {
    let content = content(10_000);
    let server = Server::start({
        let content = content.clone();
        move |_| vec![head("200 OK", &[]), Piece::Bytes(content.clone())]
    })
    .await;
    let mut unsized_file = Wanted { size: None, max_size: 10_000, path: String::new(), ..wanted(&content) };
    let address = Mirror::of_file(&format!("{}/vmlinux?signature=abc", server.address())).unwrap();
    let bench = Bench::new();
    bench.fetcher().fetch(&unsized_file, std::slice::from_ref(&address)).await.unwrap();
    assert_eq!(server.requests()[0].path, "/vmlinux?signature=abc");

    unsized_file.max_size = 9_999;
    let error = Bench::new().fetcher().fetch(&unsized_file, &[address]).await.unwrap_err();
    assert!(error.to_string().contains("more than the 9999 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_but_not_for_ever() {
    let (bench, content) = (Bench::new(), content(1000));
    let good = Server::start({
        let content = content.clone();
        move |request| match request.path.as_str() {
            "/elsewhere" => file(request, &content, &[]),
            _ => answer("302 Found", &[("Location", "/elsewhere")], b""),
        }
    })
    .await;
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&good])).await.unwrap();

    let circle = Server::start(|request| answer("302 Found", &[("Location", &request.path)], b"")).await;
    let error = Bench::new().fetcher().fetch(&wanted(&content), &mirrors(&[&circle])).await.unwrap_err();
    assert!(error.to_string().contains("redirects in circles"), "{error}");
    assert_eq!(circle.requests().len(), 6, "five redirects, and no second attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_ask_is_an_error_of_its_own() {
    let error = Bench::new().fetcher().fetch(&wanted(b"x"), &[]).await.unwrap_err();
    assert!(matches!(error, FetchError::NoMirror { .. }), "{error:?}");
}

#[test]
fn a_path_that_leads_out_of_the_archive_is_refused() {
    for path in ["../secret", "pool/../../secret", "pool/./x", "pool\\..\\x"] {
        assert!(Wanted::new("x", path, None, &"0".repeat(64)).is_err(), "{path}");
    }
    assert!(Wanted::new("x", "pool/x", None, "zz").is_err());
}

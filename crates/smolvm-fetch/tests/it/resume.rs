//! Downloads that go on where an earlier one stopped.

use std::time::Duration;

use smolvm_fetch::{FetchEvent, Fetcher};

use crate::server::{Piece, Server, answer, cut, file};
use crate::support::{Bench, content, mirrors, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_resumed_with_a_condition() {
    let (bench, content) = (Bench::new(), content(500_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => cut(&content, 123_456, &[("ETag", "\"v1\"")]),
            _ => file(request, &content, &[("ETag", "\"v1\"")]),
        }
    })
    .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    let asked = server.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[1].start(), asked[1].header("if-range")), (Some(123_456), Some("\"v1\"")));
    let resumed = |event: &FetchEvent| matches!(event, FetchEvent::Started { resumed_from: 123_456, .. });
    assert!(bench.events().iter().any(resumed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_cuts_every_connection_is_worth_it_as_long_as_each_brings_something() {
    let (bench, content) = (Bench::new(), content(1_000_000));
    let server = Server::start({
        let content = content.clone();
        move |request| {
            let start = request.start().unwrap_or(0);
            let mut pieces = file(request, &content, &[]);
            let sent = content[start..content.len().min(start + 100_000)].to_vec();
            pieces[1] = Piece::Bytes(sent);
            pieces
        }
    })
    .await;
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(server.requests().len(), 10, "more than the four attempts that a mirror gets that brings nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_that_ends_early_is_resumed_too() {
    let (bench, content) = (Bench::new(), content(10_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => vec![crate::server::head("200 OK", &[]), Piece::Bytes(content[..4000].to_vec())],
            _ => file(request, &content, &[]),
        }
    })
    .await;
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(server.requests()[1].start(), Some(4000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_meanwhile_is_taken_whole() {
    let (bench, content) = (Bench::new(), content(200_000));
    let old = vec![7; 200_000];
    let server = Server::start({
        let content = content.clone();
        move |request| match request.header("if-range") {
            None => cut(&old, 50_000, &[("ETag", "\"old\"")]),
            // The condition fails: the whole file, as it is now.
            Some("\"old\"") => answer("200 OK", &[("ETag", "\"new\"")], &content),
            Some(_) => answer("400 Bad Request", &[], b""),
        }
    })
    .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!(server.requests().len(), 2, "without the condition, two versions would be spliced and thrown away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_validator_is_no_condition() {
    let (bench, content) = (Bench::new(), content(10_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => cut(&content, 5_000, &[("ETag", "W/\"v1\""), ("Last-Modified", "Mon, 23 Nov 2026 10:00:00 GMT")]),
            _ => file(request, &content, &[]),
        }
    })
    .await;
    bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(server.requests()[1].header("if-range"), Some("Mon, 23 Nov 2026 10:00:00 GMT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_mirror_takes_over_in_the_middle() {
    let (bench, content) = (Bench::new(), content(400_000));
    let first = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => cut(&content, 150_000, &[("ETag", "\"first\"")]),
            _ => answer("403 Forbidden", &[], b""),
        }
    })
    .await;
    let second = Server::start({
        let content = content.clone();
        move |request| file(request, &content, &[("ETag", "\"second\"")])
    })
    .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&first, &second])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    let asked = &second.requests()[0];
    assert_eq!(
        (asked.start(), asked.header("if-range")),
        (Some(150_000), None),
        "one mirror's names mean nothing to another"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_ranges_sends_it_all_again() {
    let (bench, content) = (Bench::new(), content(10_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => cut(&content, 5_000, &[]),
            _ => answer("200 OK", &[], &content),
        }
    })
    .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_another_part_than_asked_for_is_not_believed() {
    let (bench, content) = (Bench::new(), content(10_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.start() {
            None if request.number == 0 => cut(&content, 5_000, &[]),
            None => answer("200 OK", &[], &content),
            Some(_) => answer("206 Partial Content", &[("Content-Range", "bytes 4000-9999/10000")], &content[4000..]),
        }
    })
    .await;
    let file = bench.fetcher().fetch(&wanted(&content), &mirrors(&[&server])).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_was_dropped_is_resumed_by_the_next() {
    let (bench, content) = (Bench::new(), content(600_000));
    let server = Server::start({
        let content = content.clone();
        move |request| match request.number {
            0 => {
                let mut pieces = cut(&content, 300_000, &[]);
                pieces.push(Piece::Wait(Duration::from_mins(1)));
                pieces
            }
            _ => file(request, &content, &[]),
        }
    })
    .await;
    let (wanted, mirrors) = (wanted(&content), mirrors(&[&server]));
    let mut options = bench.options();
    options.timeouts.idle = Duration::from_mins(1);
    let fetcher = Fetcher::new(options);
    let stopped = tokio::time::timeout(Duration::from_millis(400), fetcher.fetch(&wanted, &mirrors)).await;
    assert!(stopped.is_err(), "it hangs until it is dropped");
    assert_eq!(bench.partial(&wanted).metadata().unwrap().len(), 300_000);

    let file = bench.fetcher().fetch(&wanted, &mirrors).await.unwrap();
    assert_eq!(file.content().unwrap(), content);
    assert_eq!(server.requests()[1].start(), Some(300_000));
    assert!(!bench.partial(&wanted).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_process_left_is_judged_by_the_digest() {
    let content = content(100_000);
    let (whole, torn, too_long) =
        (content.clone(), [content[..40_000].to_vec(), vec![0; 20_000]].concat(), [content.clone(), vec![1]].concat());
    // How many requests each needs: none at all, one for the rest and one for everything, one for everything.
    for (left, requests) in [(whole, 0), (torn, 2), (too_long, 1)] {
        let (bench, wanted) = (Bench::new(), wanted(&content));
        let server = Server::start({
            let content = content.clone();
            move |request| file(request, &content, &[])
        })
        .await;
        fs_err::create_dir_all(bench.partial(&wanted).parent().unwrap()).unwrap();
        fs_err::write(bench.partial(&wanted), left).unwrap();
        let file = bench.fetcher().fetch(&wanted, &mirrors(&[&server])).await.unwrap();
        assert_eq!(file.content().unwrap(), content);
        assert_eq!(server.requests().len(), requests);
    }
}

use super::*;

fn refused(text: &str) -> (String, Vec<String>) {
    let error = Config::parse("config.yaml", text).unwrap_err();
    let labels = error.labels.iter().map(|label| {
        let place = &error.source_code.inner()[label.offset()..label.offset() + label.len()];
        format!("{place}: {}", label.label().unwrap_or_default())
    });
    (error.to_string(), labels.collect())
}

#[test]
fn mirrors_are_read_in_order() {
    let text = "mirrors:\n  debian: [http://a.example.org/debian, \"https://b.example.org/debian/\"]\n  ubuntu:\n    - http://c.example.org/ubuntu\n";
    let config = Config::parse("config.yaml", text).unwrap();
    let shown: Vec<_> = config.mirrors["debian"].iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["http://a.example.org/debian", "https://b.example.org/debian"]);
    assert_eq!(config.mirrors["ubuntu"].len(), 1);
}

#[test]
fn an_empty_file_says_nothing() {
    for text in ["", "\n# nothing yet\n", "mirrors:\n", "mirrors: {}\n", "mirrors: {debian: []}"] {
        assert!(Config::parse("config.yaml", text).unwrap().mirrors.is_empty(), "{text:?}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    let (_, labels) = refused("miror:\n  debian: [http://a/debian]\n");
    assert_eq!(labels, ["miror: unknown key `miror`, the keys are `mirrors` and `snapshots`"]);
}

#[test]
fn mistakes_point_at_their_place() {
    assert!(refused("mirrors: {debian: http://a/debian}").1[0].starts_with("http://a/debian: "));
    assert!(refused("mirrors:\n  debian: []\n  debian: []\n").1[0].contains("debian"));
    assert!(refused("mirrors: [").1.len() <= 1);
    assert!(refused("- mirrors").1.len() <= 1);
}

#[test]
fn every_bad_address_is_pointed_at() {
    let (message, labels) =
        refused("mirrors:\n  debian: [ftp://a/debian, http://ok/debian, \"no address\"]\n  ubuntu: [http://x/?y=1]\n");
    assert_eq!(message, "config.yaml cannot be used: a mirror has no usable address");
    assert_eq!(labels.len(), 3, "{labels:?}");
    assert!(labels[0].starts_with("ftp://a/debian: `ftp://a/debian` begins with `ftp:`"), "{labels:?}");
}

#[test]
fn a_bad_snapshot_address_is_pointed_at() {
    let (message, labels) = refused("snapshots:\n  debian: ftp://a/{timestamp}\n  ubuntu: off\n");
    assert_eq!(message, "config.yaml cannot be used: a snapshot archive has no usable address");
    assert_eq!(labels.len(), 1, "{labels:?}");
    assert!(labels[0].starts_with("ftp://a/{timestamp}: `ftp://a/"), "{labels:?}");
}

#[test]
fn no_password_is_shown_with_a_mistake() {
    for text in [
        "mirrors: {debian: http://me:canary@a/debian}",
        "mirrors: {debian: [ftp://me:canary@a/debian]}",
        "mirrors: {debian: [http://me:canary@a/debian], debian: 1}",
        "http://me:canary@a/debian: 1",
        "snapshots: {debian: [http://me:canary@a/{timestamp}]}",
        "snapshots: {debian: ftp://me:canary@a/x}",
        "mirrors: {debian: [http://me:canary@a/debian?x]}",
    ] {
        let error = Config::parse("config.yaml", text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

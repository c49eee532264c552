//! A build secret reaches its step and nothing else.

use std::path::Path;

use crate::support::{Project, debian_host, has, recording};

const CANARY: &str = "canary-7f3a91c2e5";

const SMOLFILE: &str = r#"
base: debian:bookworm
size: 1GiB
ssh: false
run:
  - command: |
      test "$(cat /run/secrets/TOKEN)" = canary-7f3a91c2e5-$SUFFIX
      wc -c < /run/secrets/TOKEN > /token-length
      cat /run/secrets/TOKEN
    env: {SUFFIX: x}
    network: false
    secrets: [TOKEN]
secrets: {TOKEN: {from_env: MY_TOKEN}}
"#;

#[test]
fn the_canary_is_found_nowhere_after_a_build() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    // In the Smolfile it would be found for a reason of its own.
    let smolfile = SMOLFILE.replace("canary-7f3a91c2e5-$SUFFIX", "$(printf canary-; printf 7f3a91c2e5)");
    let project = Project::new(&smolfile).with("MY_TOKEN", CANARY);
    let (events, log) = recording();
    let image = project.build_with(&events).unwrap();

    assert!(!log.lock().unwrap().contains(CANARY), "the canary is in an event");
    assert!(log.lock().unwrap().contains("********"), "the step printed it, and that was shown blotted out");
    assert!(log.lock().unwrap().contains("source: \"run[0]\""), "lines say by which step, in short");
    assert!(!format!("{image:?}").contains(CANARY));
    let mut files = 0;
    for entry in walkdir::WalkDir::new(project.path()).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            files += 1;
            assert!(!holds(entry.path(), CANARY.as_bytes()), "the canary is in {}", entry.path().display());
        }
    }
    assert!(files >= 5, "lock, kernel, initrd, rootfs and record are there to be searched: {files}");
    assert!(holds(&image.rootfs, b"token-length"), "the step ran, and the search finds what is there");
}

#[test]
fn a_failing_step_shows_its_output_without_the_secret() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let smolfile =
        SMOLFILE.replace("test \"$(cat", "cat /run/secrets/TOKEN; echo before the end; exit 9; test \"$(cat");
    let project = Project::new(&smolfile).with("MY_TOKEN", CANARY);
    let (events, log) = recording();
    let error = project.build_with(&events).unwrap_err();
    let report = format!("{error} {:?}", error.diagnostic());
    assert!(report.contains("before the end") && report.contains("exit code 9"), "{report}");
    assert!(!report.replace(&smolfile, "").contains(&format!("{CANARY}before")), "{report}");
    assert!(!log.lock().unwrap().contains(&format!("{CANARY}before")));
    let scratch = project.options().image_dir.join("scratch");
    assert_eq!(fs_err::read_dir(scratch).map_or(0, Iterator::count), 0, "the scratch folder is gone");
}

#[test]
fn a_secret_without_value_is_named_before_anything_is_done() {
    let project = Project::new(SMOLFILE);
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let error = project.build().unwrap_err();
    assert_eq!(error.to_string(), "the secret `TOKEN` has no value: the variable `MY_TOKEN` is not set");
    let label = error.diagnostic().labels().unwrap().next().unwrap();
    assert_eq!(&SMOLFILE[label.offset()..label.offset() + label.len()], "{from_env: MY_TOKEN}");
}

/// Whether a file holds these bytes, holes left out of the reading.
pub(crate) fn holds(path: &Path, needle: &[u8]) -> bool {
    let bytes = fs_err::read(path).unwrap();
    let first = needle[0];
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == first) {
        if bytes[at + found..].starts_with(needle) {
            return true;
        }
        at += found + 1;
    }
    false
}

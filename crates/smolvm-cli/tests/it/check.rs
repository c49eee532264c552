//! `smolvm check`.

use crate::snapshot;
use crate::support::{project, regex_of, run};

#[test]
fn a_good_file() {
    let (_scratch, folder) = project("base: debian:bookworm\narch: amd64\n");
    snapshot!(&folder, run(&folder, ["check"]), @r"");
    snapshot!(&folder, run(&folder, ["check", "--json"]), @r"");
}

#[test]
fn warnings_do_not_fail() {
    let (_scratch, folder) = project("base: debian:bookworm\narch: amd64\nssh: {password: hunter2}\n");
    snapshot!(&folder, run(&folder, ["check"]), @r"");
}

/// All mistakes in one run, each with its line.
const BAD: &str = "bse: debian:bookworm\npackages: [git, Curl]\nsize: 4\nusers:\n  - {name: dev, uid: many}\n";

#[test]
fn a_bad_file() {
    let (_scratch, folder) = project(BAD);
    snapshot!(&folder, run(&folder, ["check"]), @r"");
}

#[test]
fn a_bad_file_for_machines() {
    let (_scratch, folder) = project(BAD);
    let ran = run(&folder, ["check", "--json"]).expect_code(2);
    assert_eq!(ran.stderr, "");
    let error = &ran.envelope()["error"];
    assert!(error["mistakes"].as_array().is_some_and(|mistakes| mistakes.len() >= 5), "{ran}");
    for mistake in error["mistakes"].as_array().into_iter().flatten() {
        assert_eq!(mistake["file"], "Smolfile.yaml", "{mistake}");
        assert!(mistake["line"].is_u64() && mistake["column"].is_u64(), "{mistake}");
        assert!(mistake["code"].is_string() && mistake["message"].is_string(), "{mistake}");
    }
}

#[test]
fn a_missing_file() {
    let scratch = tempfile::tempdir().expect("a folder");
    snapshot!(scratch.path(), run(scratch.path(), ["check"]), @r"");
}

#[test]
fn another_file() {
    let (_scratch, folder) = project("nonsense: [\n");
    std::fs::write(folder.join("other.yaml"), "base: debian:trixie\narch: arm64\nname: other\n").expect("a file");
    snapshot!(&folder, run(&folder, ["check", "-f", "other.yaml"]), @r"");
}

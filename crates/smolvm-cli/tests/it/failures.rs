//! One failure of each class, with its exit code, for people and for machines.

use std::fs::OpenOptions;
use std::path::Path;

use crate::snapshot;
use crate::support::{project, ran, regex_of, run, smolvm};

#[test]
fn no_command() {
    let ran = run(Path::new("/"), [] as [&str; 0]).expect_code(2);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage: smolvm <COMMAND>"), "{ran}");
}

#[test]
fn unknown_command() {
    snapshot!(Path::new("/nowhere"), run(Path::new("/"), ["biuld"]), @r"");
}

#[test]
fn unknown_option_for_machines() {
    snapshot!(Path::new("/nowhere"), run(Path::new("/"), ["build", "--json", "--outptu", "x"]), @r"");
}

#[test]
fn json_after_two_dashes_is_the_guests() {
    let ran = run(Path::new("/"), ["run", "--nope", "--", "--json"]).expect_code(2);
    assert!(ran.stdout.is_empty(), "{ran}");
}

/// Exit code 1: nothing was ever downloaded.
#[test]
fn offline_with_an_empty_cache() {
    let (_scratch, folder) = project("base: debian:bookworm\narch: amd64\n");
    snapshot!(&folder, run(&folder, ["build", "--offline"]), @r"");
}

/// Exit code 2.
#[test]
fn a_manifest_that_cannot_be_built() {
    let (_scratch, folder) = project("base: debian:bokworm\n");
    snapshot!(&folder, run(&folder, ["build"]), @r"");
    assert!(!folder.join(".smolvm").exists(), "the store was touched for a manifest that is wrong");
}

/// Exit code 3: a store that cannot be made.
#[test]
fn a_store_that_cannot_be_made() {
    let (_scratch, folder) = project("base: debian:bookworm\narch: amd64\n");
    std::fs::write(folder.join("taken"), "a file").expect("a file");
    let ran = run(&folder, ["build", "--offline", "--image-dir", "taken/images"]);
    snapshot!(&folder, ran, @r"");
}

#[test]
fn a_stdout_that_is_full() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let ran = ran(smolvm(Path::new("/")).arg("schema").stdout(full));
    snapshot!(Path::new("/nowhere"), ran, @r"");
}

#[test]
fn a_reader_that_goes_away() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = ran(smolvm(Path::new("/")).arg("schema").stdout(writer));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn colour_is_for_terminals() {
    let (_scratch, folder) = project("base: debian:bokworm\n");
    let ran = run(&folder, ["check"]).expect_code(2);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
}

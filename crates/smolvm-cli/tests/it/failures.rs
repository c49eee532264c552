//! One failure of each class, with its exit code, for people and for machines.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

use crate::snapshot;
use crate::support::{project, ran, regex_of, run, smolvm};

#[test]
fn no_command() {
    let ran = run(Path::new("/"), [] as [&str; 0]).expect_code(2);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage: smolvm <COMMAND>"), "{ran}");
}

#[test]
fn unknown_command() {
    snapshot!(Path::new("/nowhere"), run(Path::new("/"), ["biuld"]), @r#"
    exit code: 2
    --- stderr
    error: unrecognized subcommand 'biuld'

      tip: a similar subcommand exists: 'build'

    Usage: smolvm <COMMAND>

    For more information, try '--help'.
    "#);
}

#[test]
fn unknown_option_for_machines() {
    snapshot!(Path::new("/nowhere"), run(Path::new("/"), ["build", "--json", "--outptu", "x"]), @r#"
    exit code: 2
    --- stdout
    {"ok":false,"command":"build","error":{"code":"smolvm::cli::usage","message":"unexpected argument '--outptu' found","help":"tip: a similar argument exists: '--output'\n\nUsage: smolvm build --json --output <DIR>\n\nFor more information, try '--help'."}}
    "#);
}

#[test]
fn json_after_two_dashes_is_the_guests() {
    let ran = run(Path::new("/"), ["run", "--nope", "--", "--json"]).expect_code(2);
    assert!(ran.stdout.is_empty(), "{ran}");
}

/// Exit code 1: nothing was ever downloaded. Which index is asked for first is chance.
#[test]
fn offline_with_an_empty_cache() {
    let (_scratch, folder) = project("base: debian:bookworm\n");
    let ran = run(&folder, ["build", "--offline", "--json"]).expect_code(1);
    let error = &ran.envelope()["error"];
    assert_eq!(error["code"], "smolvm::fetch::offline", "{ran}");
    assert!(error["help"].as_str().is_some_and(|help| help.contains("--offline")), "{ran}");
}

/// A lock is read no further than it can be one.
#[test]
fn a_lock_without_an_end() {
    let (_scratch, folder) = project("base: debian:bookworm\n");
    std::os::unix::fs::symlink("/dev/zero", folder.join("Smolfile.lock")).unwrap();
    for command in [&["build", "--offline", "--json"][..], &["check", "--json"]] {
        let ran = run(&folder, command).expect_code(2);
        let error = &ran.envelope()["error"];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("Smolfile.lock") && message.contains("not a regular file"), "{ran}");
        assert!(error["help"].as_str().is_some_and(|help| help.contains("delete it")), "{ran}");
    }
}

/// Exit code 2.
#[test]
fn a_manifest_that_cannot_be_built() {
    let (_scratch, folder) = project("base: debian:bokworm\n");
    snapshot!(&folder, run(&folder, ["build"]), @r#"
    exit code: 2
    --- stderr
    smolvm::manifest

      x Smolfile.yaml: 1 mistake

    Error: smolvm::manifest::not_one_of

      x `base` cannot be `debian:bokworm`
       ,-[Smolfile.yaml:1:7]
     1 | base: debian:bokworm
       :       ^^^^^^^|^^^^^^
       :              `-- did you mean `debian:bookworm`?
       `----
      help: one of: debian:bookworm, debian:trixie, ubuntu:22.04, ubuntu:24.04, alpine:3.20,
            alpine:3.21, alpine:3.22, or {image: NAME} for a Docker image
    "#);
    assert!(!folder.join(".smolvm").exists(), "the store was touched for a manifest that is wrong");
}

/// Exit code 3.
#[test]
fn a_store_that_cannot_be_made() {
    let scratch = tempfile::tempdir().expect("a folder");
    std::fs::write(scratch.path().join("taken"), "a file").expect("a file");
    let ran = run(scratch.path(), ["image", "ls", "--image-dir", "taken/images"]);
    snapshot!(scratch.path(), ran, @r#"
    exit code: 3
    --- stderr
    smolvm::store::unusable

      x the image store taken/images cannot be used: failed to open file `taken/images/VERSION`: Not a
      | directory (os error 20)
      help: make the folder readable and writable for you, or choose another one with --image-dir
    "#);
}

#[test]
fn a_stdout_that_is_full() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let ran = ran(smolvm(Path::new("/")).arg("schema").stdout(full));
    snapshot!(Path::new("/nowhere"), ran, @r#"
    exit code: 3
    --- stderr
    smolvm::cli::stdout

      x the result could not be printed: No space left on device (os error 28)
      help: check where stdout goes: a full disk, perhaps
    "#);
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

    // `script` gives its child a terminal, and its own stdout all that appears there.
    for (variable, value, coloured) in [("LANG", "C", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)] {
        let mut terminal = Command::new("script");
        terminal.args(["-q", "-e", "-c", concat!(env!("CARGO_BIN_EXE_smolvm"), " check"), "/dev/null"]);
        let ran = crate::support::ran(terminal.current_dir(&folder).env("TERM", "xterm").env(variable, value));
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stdout.contains("did you mean"), "{ran}");
        assert_eq!(ran.stdout.contains('\u{1b}'), coloured, "{variable}={value}: {ran}");
    }
}

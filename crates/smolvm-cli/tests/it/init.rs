//! `smolvm init`.

use crate::snapshot;
use crate::support::{regex_of, run};

#[test]
fn writes_a_smolfile_that_is_valid() {
    let scratch = tempfile::tempdir().expect("a folder");
    let ran = run(scratch.path(), ["init"]);
    snapshot!(scratch.path(), ran, @r#"
    exit code: 0
    --- stdout
    wrote Smolfile.yaml, and .smolvm/smolfile.schema.json for your editor: both belong in git
    next: edit it, then smolvm build
    "#);
    let schema = std::fs::read_to_string(scratch.path().join(".smolvm/smolfile.schema.json")).expect("the schema");
    assert_eq!(schema, run(scratch.path(), ["schema"]).stdout);
    let text = std::fs::read_to_string(scratch.path().join("Smolfile.yaml")).expect("the Smolfile");
    assert!(text.starts_with("# yaml-language-server: $schema=.smolvm/smolfile.schema.json\n"), "{text}");
    run(scratch.path(), ["check"]).expect_code(0);
}

#[test]
fn its_examples_are_valid_too() {
    let scratch = tempfile::tempdir().expect("a folder");
    run(scratch.path(), ["init", "-f", "starter.yaml"]).expect_code(0);
    let text = std::fs::read_to_string(scratch.path().join("starter.yaml")).expect("the Smolfile");
    let (prose, examples) = text.split_once("\nversion: 1\n").expect("the version");
    let all: Vec<_> = examples.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let all = all.join("\n").replace("~/.ssh/id_ed25519.pub", "key.pub");
    std::fs::write(scratch.path().join("Smolfile.yaml"), format!("{prose}\nversion: 1\n{all}")).expect("a Smolfile");
    std::fs::write(scratch.path().join("app.conf"), "").expect("a file");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICVaZkhPrZP3bVLK6JDcEo5mnkgZHcXb6vWTEsChij2h\n";
    std::fs::write(scratch.path().join("key.pub"), key).expect("a key");
    run(scratch.path(), ["check"]).expect_code(0);
}

#[test]
fn never_overwrites() {
    let scratch = tempfile::tempdir().expect("a folder");
    std::fs::write(scratch.path().join("Smolfile.yaml"), "mine").expect("a file");
    let ran = run(scratch.path(), ["init"]);
    snapshot!(scratch.path(), ran, @r#"
    exit code: 2
    --- stderr
    smolvm::cli::exists

      x Smolfile.yaml exists already
      help: give another name with `--file NAME`, or remove the file first; it was left as it is
    "#);
    assert_eq!(std::fs::read(scratch.path().join("Smolfile.yaml")).expect("the file"), b"mine");
    assert!(!scratch.path().join(".smolvm").exists());
}

#[test]
fn says_why_it_cannot_write() {
    let scratch = tempfile::tempdir().expect("a folder");
    let ran = run(scratch.path(), ["init", "-f", "missing/Smolfile.yaml"]);
    snapshot!(scratch.path(), ran, @r#"
    exit code: 3
    --- stderr
    smolvm::cli::write

      x missing/Smolfile.yaml could not be written: No such file or directory (os error 2)
      help: check that the folder exists, is yours, and has space left
    "#);
}

#[test]
fn answers_machines() {
    let scratch = tempfile::tempdir().expect("a folder");
    let ran = run(scratch.path(), ["init", "--json"]);
    snapshot!(scratch.path(), ran, @r#"
    exit code: 0
    --- stdout
    {"ok":true,"command":"init","data":{"file":"Smolfile.yaml","schema":".smolvm/smolfile.schema.json"}}
    "#);
    let ran = run(scratch.path(), ["init", "--json"]);
    snapshot!(scratch.path(), ran, @r#"
    exit code: 2
    --- stdout
    {"ok":false,"command":"init","error":{"code":"smolvm::cli::exists","message":"Smolfile.yaml exists already","help":"give another name with `--file NAME`, or remove the file first; it was left as it is"}}
    "#);
}

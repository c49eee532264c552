//! Every help text, whole.

use std::path::Path;

use crate::snapshot;
use crate::support::{regex_of, run};

fn check(name: &str, words: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ran = run(folder, words).expect_code(0);
    snapshot!(folder, ran, name);
}

#[test]
fn help_texts() {
    check("help", &["--help"]);
    for command in ["init", "check", "render", "lock", "vendor", "build", "run", "schema", "completions"] {
        check(&format!("help_{command}"), &[command, "--help"]);
    }
    check("help_image", &["image", "--help"]);
    for command in ["ls", "inspect", "rm", "prune", "verify"] {
        check(&format!("help_image_{command}"), &["image", command, "--help"]);
    }
}

#[test]
fn version() {
    check("version", &["--version"]);
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(Path::new("/"), ["completions", shell]).expect_code(0).stdout;
        for command in ["init", "check", "render", "build", "run", "image", "schema", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn the_schemas_are_the_committed_ones() {
    for (words, name) in
        [(&["schema"][..], "smolfile.schema.json"), (&["schema", "--lock"], "smolfile-lock.schema.json")]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(name);
        let committed = std::fs::read_to_string(path).expect(name);
        assert!(run(Path::new("/"), words).expect_code(0).stdout == committed, "run `cargo xtask schema`");
    }
}

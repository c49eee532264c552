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
fn the_schema_is_the_committed_one() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/smolfile.schema.json");
    let committed = std::fs::read_to_string(committed).expect("schemas/smolfile.schema.json");
    assert!(run(Path::new("/"), ["schema"]).expect_code(0).stdout == committed, "run `cargo xtask schema`");
}

//! Hostile YAML costs nothing.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::surroundings::load_text;

/// Refused with this code, and at once: the slowest honest Smolfile takes milliseconds.
fn refused(text: &str, code: &str) {
    let started = Instant::now();
    let errors = load_text(text).expect_err("hostile");
    let took = started.elapsed();
    let codes: Vec<&str> = errors.mistakes().iter().map(smolvm_manifest::Mistake::code).collect();
    assert!(codes.contains(&format!("smolvm::manifest::{code}").as_str()), "{codes:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn size() {
    refused(&format!("base: debian:bookworm\n# {}\n", "x".repeat(1 << 20)), "too_large");
}

#[test]
fn number_of_values() {
    let mut text = "base: debian:bookworm\npackages:\n".to_owned();
    for index in 0..21_000 {
        let _ = writeln!(text, "  - package{index}");
    }
    refused(&text, "too_large");
}

#[test]
fn a_long_list_is_no_attack() {
    let mut text = "base: debian:bookworm\npackages:\n".to_owned();
    for index in 0..10_000 {
        let _ = writeln!(text, "  - package{index}");
    }
    let loaded = load_text(&text).expect("honest, if long");
    assert_eq!(loaded.manifest.packages.len(), 10_000);
}

#[test]
fn depth() {
    refused(&format!("base: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)), "too_deep");
    refused(&format!("base: {}\n", "{a: ".repeat(100_000)), "too_deep");
    refused(&format!("base:\n{}\n", (1..500).map(|i| " ".repeat(i) + "- \n").collect::<String>()), "too_deep");
}

#[test]
fn aliases_that_multiply_values() {
    let mut text = "base: debian:bookworm\nenv:\n  A0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let refs = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(text, "  A{level}: &a{level} [{refs}]");
    }
    refused(&text, "too_large");
}

#[test]
fn aliases_that_multiply_text() {
    let mut text =
        format!("base: debian:bookworm\nfiles:\n  - {{target: /a, content: &a \"{}\"}}\n", "x".repeat(500_000));
    for index in 0..5_000 {
        let _ = writeln!(text, "  - {{target: /b{index}, content: *a}}");
    }
    refused(&text, "too_large");
}

#[test]
fn honest_aliases_work() {
    let loaded = load_text(
        "base: debian:bookworm\nusers:\n  - {name: a, shell: &sh /bin/bash}\n  - {name: b, shell: *sh}\nservices:\n  \
         - {name: x, command: &cmd [/bin/x], env: &env {A: \"1\"}}\n  - {name: y, command: *cmd, env: *env}\n",
    )
    .expect("aliases are YAML");
    assert_eq!(loaded.manifest.users[1].shell, "/bin/bash");
    assert_eq!(loaded.manifest.services[1].command, ["/bin/x"]);
}

#[test]
fn a_thousand_mistakes_are_not_all_told() {
    let mut text = "base: debian:bookworm\npackages:\n".to_owned();
    for _ in 0..1_000 {
        text.push_str("  - NOT A PACKAGE\n");
    }
    let errors = load_text(&text).expect_err("invalid");
    assert_eq!(errors.mistakes().len(), 50);
    assert_eq!(errors.to_string(), "Smolfile.yaml: 1000 mistakes");
}

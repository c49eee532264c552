//! Every mistake that a person can make: a fixture each, and the whole report that they see.

use crate::surroundings::{World, load_text, render};
use smolvm_manifest::load_bytes;

/// Every file of `invalid/` against its snapshot. A new fixture needs no code.
#[test]
fn every_mistake_has_a_report() {
    insta::glob!("invalid/*.yaml", |path| {
        let bytes = std::fs::read(path).expect("a fixture is readable");
        let errors =
            load_bytes("Smolfile.yaml", &bytes, &World::default()).expect_err("a fixture of `invalid` is invalid");
        let report = render(&errors);
        assert!(!report.contains("CANARY"), "a secret is shown: {report}");
        assert!(!report.to_lowercase().contains("schema"), "the words of the validator: {report}");
        insta::assert_snapshot!(report);
    });
}

#[test]
fn there_are_enough_of_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/invalid");
    let count = std::fs::read_dir(folder).expect("the folder is there").count();
    assert!(count >= 45, "{count}");
}

#[test]
fn every_warning_has_a_report() {
    insta::glob!("warnings/*.yaml", |path| {
        let text = std::fs::read_to_string(path).expect("a fixture is readable");
        let loaded = match load_text(&text) {
            Ok(loaded) => loaded,
            Err(errors) => panic!("{}", render(&errors)),
        };
        let report = loaded.warnings.iter().map(|warning| render(warning)).collect::<Vec<_>>().join("\n");
        assert!(!report.is_empty() && !report.contains("CANARY"), "{report}");
        insta::assert_snapshot!(report);
    });
}

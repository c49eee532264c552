//! Several Smolfiles for one command: none is built before all are known to be right.

use crate::support::{project, run};

const SMOLFILE: &str = "name: one\nbase: debian:bookworm\n";

#[test]
fn two_of_one_name_are_refused_before_anything_is_built() {
    let (_scratch, folder) = project(SMOLFILE);
    std::fs::write(folder.join("other.yaml"), "name: one\nbase: debian:trixie\n").expect("a file");
    let ran = run(&folder, ["build", "-f", "Smolfile.yaml", "-f", "other.yaml", "--json", "--image-dir", "images"]);
    let error = &ran.expect_code(2).envelope()["error"];
    assert_eq!(error["code"], "smolvm::build::same_name");
    assert_eq!(error["message"], "`Smolfile.yaml` and `other.yaml` both make the image `one`");
    assert!(!folder.join("images").exists(), "something was built");
}

#[test]
fn a_mistake_in_the_last_one_is_told_before_the_first_is_built() {
    let (_scratch, folder) = project(SMOLFILE);
    std::fs::write(folder.join("other.yaml"), "name: two\nbase: debian:bookworm\nsise: 1GiB\n").expect("a file");
    let ran = run(&folder, ["build", "-f", "Smolfile.yaml", "-f", "other.yaml", "--image-dir", "images"]);
    let ran = ran.expect_code(2);
    assert!(ran.stderr.contains("sise") && ran.stderr.contains("other.yaml"), "{ran}");
    assert!(!folder.join("images").exists(), "something was built");
}

//! Packages that were made to break out, or to fill the disk. They are signed for, and refused all the same.

use smolvm_build::FailureClass;
use smolvm_packages::test_deb::{TestCompression, TestDeb, TestEntry};

use crate::archive::{Small, assert_fails, impatient};

fn assert_refused(deb: &TestDeb, words: &[&str]) {
    let small = Small::new(deb);
    let project = small.project();
    // Where an entry that climbs out of the scratch folder, or is taken by its absolute name, would come to lie.
    let victim = project.path().join("victim");
    fs_err::write(&victim, "untouched").unwrap();
    let words = [&["the package subject cannot be unpacked"], words].concat();
    assert_fails(words[1], &impatient(&project), FailureClass::Build, &words);
    assert_eq!(fs_err::read_to_string(&victim).unwrap(), "untouched");
    assert!(!std::path::Path::new("/smolvm-hostile").exists());
}

/// Of the base, so that it is met before anything is configured.
fn subject() -> TestDeb {
    TestDeb::new("subject", "1").field("Essential", "yes")
}

#[test]
fn a_name_that_climbs_is_refused() {
    let climbing = format!("./{}victim", "../".repeat(6));
    let words = [format!("its entry `{climbing}` has `..` in its name")];
    assert_refused(&subject().file(&climbing, "overwritten"), &[&words[0]]);
}

#[test]
fn an_absolute_name_is_refused() {
    assert_refused(&subject().file("/smolvm-hostile", ""), &["its entry `/smolvm-hostile` has an absolute name"]);
}

#[test]
fn a_link_that_escapes_is_refused() {
    for (deb, words) in [
        (
            subject().symlink("./out", "/").file("./out/smolvm-hostile", ""),
            "its entry `out/smolvm-hostile` lies below `out`, a link of the same package that leads to `/`",
        ),
        (
            subject().symlink("./out", "../../..").file("./out/victim", "overwritten"),
            "its entry `out/victim` lies below `out`, a link of the same package that leads to `../../..`",
        ),
        (subject().hard_link("./shadow", "/etc/shadow"), "its entry `shadow` is a hard link to `/etc/shadow`"),
        (subject().hard_link("./shadow", "../../etc/shadow"), "is a hard link to `../../etc/shadow`"),
    ] {
        assert_refused(&deb, &[words]);
    }
}

#[test]
fn a_decompression_bomb_is_refused() {
    let zeros = TestEntry { name: b"./zeros".to_vec(), content: vec![0; 128 << 20], ..TestEntry::default() };
    assert_refused(&subject().entry(zeros).compression(TestCompression::Zstd), &["it holds"]);
}

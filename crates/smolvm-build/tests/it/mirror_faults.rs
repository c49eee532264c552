//! Mirrors that are away, slow, cut off, out of date or lying, in each of the files that a build asks for.

use sha2::{Digest as _, Sha256};
use smolvm_build::{Events, FailureClass, resolve};
use smolvm_packages::test_deb::{TestCompression, TestDeb};

use crate::archive::{DAY, Small, assert_fails, assert_nothing_half, impatient, names, now};
use crate::mirror::{Fault, nobody, unreachable};
use crate::support::runtime;

fn small() -> Small {
    let content = "large enough to be cut in halves\n".repeat(2000);
    Small::new(&TestDeb::new("subject", "1.0").file("./subject", &content).compression(TestCompression::None))
}

#[test]
fn a_mirror_that_is_not_there_is_named() {
    let small = small();
    let refusing = nobody();
    let (silent, _queue) = unreachable();
    for (address, reason) in [(&refusing, "onnection refused"), (&silent, "no connection in time")] {
        let project = small.project_at(address);
        let options = impatient(&project);
        assert_fails(reason, &options, FailureClass::Build, &["ubuntu noble", "InRelease", address, reason]);
    }
}

/// Every fault, and what is said of it.
const FAULTS: [(Fault, &str); 7] = [
    (Fault::Status("404 Not Found"), "it answered 404 Not Found"),
    (Fault::Status("503 Service Unavailable"), "it answered 503 Service Unavailable (asked 2 times)"),
    (Fault::Silent, "no answer within 500ms"),
    (Fault::Cut, "the connection broke"),
    (Fault::Stalled, "nothing arrived for 500ms"),
    (Fault::Slow, "bytes arrived in 500ms"),
    (Fault::Changed, ""),
];

#[test]
fn every_fault_of_an_index_is_told_and_passes() {
    let small = small();
    for (part, name, changed) in [
        ("noble/InRelease", "ubuntu noble InRelease", "the index of ubuntu noble cannot be trusted"),
        ("noble/main/binary-", "ubuntu noble package index", "is not what was expected"),
    ] {
        let project = small.project();
        let mut options = impatient(&project);
        for (fault, reason) in FAULTS {
            // What arrived of it before is kept, and would make the next fault a smaller one.
            options.cache_dir = project.path().join(format!("cache {fault:?}"));
            let what = format!("{part} {fault:?}");
            let reason = if fault == Fault::Changed { changed } else { reason };
            small.mirror.fail(part, fault);
            assert_fails(&what, &options, FailureClass::Build, &[name, small.mirror.address(), reason]);
            assert!(!options.lock_path().exists(), "{what}: a lock was written");
        }
        small.mirror.repair(part);
        let locked = runtime().block_on(resolve(&options, &Events::silent())).unwrap();
        assert!(locked.lock.packages.iter().any(|package| package.name == "subject"));
        assert!(options.lock_path().exists());
    }
}

#[test]
fn every_fault_of_a_package_is_told() {
    let small = small();
    let project = small.project();
    let mut options = impatient(&project);
    for (fault, reason) in FAULTS {
        options.cache_dir = project.path().join(format!("cache {fault:?}"));
        let reason = if fault == Fault::Changed { "which the lock names, is gone" } else { reason };
        small.mirror.fail("/subject_", fault);
        let words = ["subject", "pool/main/s/subject/subject_1.0_all.deb", small.mirror.address(), reason];
        assert_fails(&format!("{fault:?}"), &options, FailureClass::Build, &words);
    }
    // The last fault was the change.
    let deb = small.archive.archive_folder("ubuntu").join("pool/main/s/subject/subject_1.0_all.deb");
    let digest = hex::encode(Sha256::digest(fs_err::read(deb).unwrap()));
    assert!(!options.cache_dir.join("partial").join(digest).exists(), "bytes that were wrong are kept");
}

#[test]
fn an_index_past_its_date_is_refused() {
    let mut small = small();
    small.archive = small.archive.valid_until(now() - 3 * DAY);
    small.archive.write().unwrap();
    let project = small.project();
    let options = impatient(&project);
    let words = ["the index of ubuntu noble", "expired on", "3 days ago", small.mirror.address()];
    assert_fails("expired", &options, FailureClass::Build, &words);
    assert!(names(&options.cache_dir.join("index")).is_empty(), "an index that was refused is kept");

    small.archive = small.archive.valid_until(now() + DAY);
    small.archive.write().unwrap();
    runtime().block_on(resolve(&options, &Events::silent())).unwrap();
    assert_nothing_half("resolved", &options);
}

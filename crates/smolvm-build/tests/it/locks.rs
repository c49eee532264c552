//! `smolvm lock`, and builds that take nothing but a lock.

use smolvm_build::{BuildError, BuildOptions, Events, FailureClass, LockReport, check_lock, lock};
use smolvm_packages::test_deb::TestDeb;

use crate::archive::{Small, assert_fails, impatient};
use crate::support::runtime;

fn locked(options: &BuildOptions, update: bool) -> LockReport {
    runtime().block_on(lock(options, update, &Events::silent())).unwrap()
}

fn changes(report: &LockReport) -> Vec<String> {
    report.changes.iter().map(ToString::to_string).collect()
}

fn refused(error: &BuildError, words: &str) {
    assert_eq!(error.class(), FailureClass::Input);
    assert!(error.to_string().contains(words), "{error}");
    let help = error.diagnostic().help().expect("help").to_string();
    assert!(help.contains("smolvm lock -f "), "{help}");
}

#[test]
fn a_lock_is_written_once_and_refreshed_when_asked() {
    let mut small = Small::new(&TestDeb::new("subject", "1.0"));
    let project = small.project();
    let options = impatient(&project);
    refused(&check_lock(&options, &Events::silent()).unwrap_err(), "there is no `");
    let report = locked(&options, false);
    assert!(report.written && report.changes.is_empty() && report.path == options.lock_path(), "{report:?}");
    let text = fs_err::read(&report.path).unwrap();

    // What the archive has by now is no matter for a lock that answers.
    small.publish(&TestDeb::new("subject", "1.1"));
    assert!(!locked(&options, false).written);
    assert!(!check_lock(&options, &Events::silent()).unwrap().written);
    assert!(fs_err::read(&report.path).unwrap() == text);

    let report = locked(&options, true);
    assert!(report.written);
    let told = changes(&report);
    assert!(told.contains(&"subject 1.0 -> 1.1".to_owned()), "{told:?}");
    assert!(told.iter().all(|change| change.starts_with("subject ") || change.starts_with("noble ")), "{told:?}");
    assert_eq!(changes(&locked(&options, true)), Vec::<String>::new(), "nothing is new");
}

#[test]
fn a_lock_that_the_smolfile_has_outrun_is_told_and_with_locked_refused() {
    let mut small = Small::new(&TestDeb::new("subject", "1.0"));
    small.publish(&TestDeb::new("other", "2"));
    let project = small.project();
    let mut options = impatient(&project);
    options.locked = true;
    assert_fails("missing", &options, FailureClass::Input, &["there is no `", "Smolfile.lock"]);
    assert!(!options.lock_path().exists(), "a lock was written");
    locked(&options, false);
    let lock = fs_err::read(options.lock_path()).unwrap();

    let smolfile = fs_err::read_to_string(&options.smolfile).unwrap();
    fs_err::write(&options.smolfile, smolfile.replace("[subject]", "[subject, other]")).unwrap();
    assert_fails("outrun", &options, FailureClass::Input, &["was written for another `", "packages"]);
    refused(&check_lock(&options, &Events::silent()).unwrap_err(), "was written for another `");
    assert!(fs_err::read(options.lock_path()).unwrap() == lock, "the lock was changed");
    assert_eq!(changes(&locked(&options, false)), ["+ other 2"]);
    check_lock(&options, &Events::silent()).unwrap();
}

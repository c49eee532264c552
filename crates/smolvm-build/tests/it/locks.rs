//! `smolvm lock`, and builds that take nothing but a lock.

use smolvm_build::{BuildError, BuildOptions, Events, FailureClass, LockReport, LockUpdate, check_lock, lock};
use smolvm_manifest::{Arch, LockFile, LockedPackage};
use smolvm_packages::test_deb::TestDeb;

use crate::archive::{Small, assert_fails, impatient, report};
use crate::support::runtime;

fn locked(options: &BuildOptions, update: bool) -> LockReport {
    let update = if update { LockUpdate::Everything } else { LockUpdate::Nothing };
    runtime().block_on(lock(options, &update, &Events::silent())).unwrap()
}

fn updated(options: &BuildOptions, names: &[&str]) -> Result<LockReport, BuildError> {
    let update = LockUpdate::Packages(names.iter().map(ToString::to_string).collect());
    runtime().block_on(lock(options, &update, &Events::silent()))
}

fn file(options: &BuildOptions) -> LockFile {
    let text = fs_err::read_to_string(options.lock_path()).unwrap();
    LockFile::parse("Smolfile.lock", &text, Arch::Amd64).unwrap()
}

fn packages(options: &BuildOptions) -> Vec<LockedPackage> {
    file(options).iter().next().unwrap().1.packages.clone()
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

/// Only the machine's own architecture is built here: the other one's lock is a copy.
#[test]
fn architectures_share_a_file_and_do_not_disturb_each_other() {
    let mut small = Small::new(&TestDeb::new("subject", "1.0"));
    small.publish(&TestDeb::new("other", "2"));
    let project = small.project();
    let options = impatient(&project);
    locked(&options, false);
    let (own, other) =
        if cfg!(target_arch = "x86_64") { (Arch::Amd64, Arch::Arm64) } else { (Arch::Arm64, Arch::Amd64) };
    let alone = file(&options).get(own).unwrap().clone();
    fs_err::write(options.lock_path(), LockFile::of(other, alone.clone()).to_text()).unwrap();
    refused(&check_lock(&options, &Events::silent()).unwrap_err(), &format!("there is no lock for {own} in `"));
    let told = locked(&options, false);
    assert!(told.written && told.changes.is_empty(), "{told:?}");
    let both = file(&options);
    assert_eq!((both.get(own), both.get(other)), (Some(&alone), Some(&alone)));
    assert!(!locked(&options, false).written);

    // One that was outrun is written anew, and one that is refreshed; the other stays as it is.
    let smolfile = fs_err::read_to_string(&options.smolfile).unwrap();
    fs_err::write(&options.smolfile, smolfile.replace("[subject]", "[subject, other]")).unwrap();
    assert_eq!(changes(&locked(&options, false)), ["+ other 2"]);
    small.publish(&TestDeb::new("other", "3"));
    for report in [updated(&options, &["other"]).unwrap(), locked(&options, true)] {
        assert!(report.written);
        let now = file(&options);
        assert_eq!(now.get(other), Some(&alone));
        assert!(now.get(own).unwrap().packages.iter().any(|package| package.version == "3"), "{now:?}");
    }
}

/// The archive moves on, and has what is locked no longer in its index.
fn moved_on() -> (Small, crate::support::Project, BuildOptions) {
    let mut small = Small::new(&TestDeb::new("subject", "1.0").field("Depends", "lib (>= 1)"));
    small.publish(&TestDeb::new("lib", "1.0"));
    small.publish(&TestDeb::new("other", "1.0").field("Depends", "lib"));
    let project = small.project();
    let smolfile = project.path().join("Smolfile.yaml");
    let text = fs_err::read_to_string(&smolfile).unwrap().replace("[subject]", "[subject, other]");
    fs_err::write(&smolfile, text).unwrap();
    let options = impatient(&project);
    locked(&options, false);
    small.forget(&["subject", "lib", "other"]);
    for (name, version, depends) in [("subject", "2.0", "lib (>= 2)"), ("lib", "2.0", ""), ("other", "2.0", "lib")] {
        small.publish(&TestDeb::new(name, version).field("Depends", depends));
    }
    (small, project, options)
}

#[test]
fn a_package_is_refreshed_with_what_it_needs_and_no_other() {
    let (_small, _project, options) = moved_on();
    let old = packages(&options);
    let report = updated(&options, &["subject"]).unwrap();
    let told: Vec<String> = changes(&report).into_iter().filter(|change| !change.starts_with("noble")).collect();
    assert_eq!(told, ["lib 1.0 -> 2.0", "subject 1.0 -> 2.0"]);
    for package in packages(&options) {
        let moved = ["lib", "subject"].contains(&&*package.name);
        assert_eq!(old.contains(&package), !moved, "{package:?}");
    }
    assert_eq!(changes(&updated(&options, &["subject"]).unwrap()), Vec::<String>::new());
    check_lock(&options, &Events::silent()).unwrap();
}

#[test]
fn packages_of_the_kernel_are_refreshed_alone() {
    let (mut small, _project, options) = moved_on();
    small.publish(&TestDeb::new("busybox-static", "2"));
    let old = packages(&options);
    let told = changes(&updated(&options, &["busybox-static"]).unwrap());
    assert!(told.iter().any(|change| change.ends_with("busybox-static 2")), "{told:?}");
    assert_eq!(packages(&options), old);
}

#[test]
fn what_cannot_be_refreshed_alone_is_said() {
    let (small, project, mut options) = moved_on();
    let lock = fs_err::read(options.lock_path()).unwrap();
    let error = updated(&options, &["subjekt"]).unwrap_err();
    assert_eq!(error.class(), FailureClass::Input);
    assert_eq!(error.to_string(), "the lock has no package `subjekt`");
    assert!(error.diagnostic().help().unwrap().to_string().starts_with("did you mean `subject`?"));
    // Nobody has the locked files any more.
    fs_err::remove_dir_all(small.archive.archive_folder("ubuntu").join("pool/main/o")).unwrap();
    options.cache_dir = project.path().join("empty-cache");
    let error = updated(&options, &["subject"]).unwrap_err();
    assert!(report(&error).contains("`other` 1.0 cannot stay as locked"), "{}", report(&error));
    let help = error.diagnostic().help().unwrap().to_string();
    assert!(help.ends_with("`smolvm lock --update subject other`"), "{help}");
    assert!(fs_err::read(options.lock_path()).unwrap() == lock, "the lock was changed");
    assert_eq!(packages(&options).len(), 5);
    // A lock that the Smolfile has outrun comes first.
    let smolfile = fs_err::read_to_string(&options.smolfile).unwrap();
    fs_err::write(&options.smolfile, smolfile.replace(", other]", "]")).unwrap();
    refused(&updated(&options, &["subject"]).unwrap_err(), "was written for another `");
}

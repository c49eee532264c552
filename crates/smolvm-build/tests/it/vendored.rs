//! Locks that outlive their mirror: snapshots of its archive, and folders that `smolvm vendor` fills.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use smolvm_build::{BuildError, BuildOptions, Events, FailureClass, LockUpdate, VendorReport, lock, vendor};
use smolvm_manifest::{Arch, Lock, LockFile};
use smolvm_packages::test_deb::TestDeb;

use crate::archive::{DAY, Small, assert_fails, assert_nothing_half, build_with, impatient, report as report_text};
use crate::mirror::{Fault, Mirror, nobody};
use crate::support::{Project, debian_host, has, recording, runtime};

/// What the address of the kernel has in it.
const KERNEL: &str = "/linux-image-6-made-up/";

const SUBJECT: &str = "pool/main/s/subject/subject_1.0_all.deb";

/// A small archive whose kernel arrives at once, a project that is locked to it, and what `subject` was then.
struct Locked {
    small: Small,
    project: Project,
    lock: Lock,
    subject: Vec<u8>,
}

impl Locked {
    fn new() -> Self {
        let small = Small::new(&TestDeb::new("subject", "1.0").file("./subject", "what was locked"));
        small.mirror.repair(KERNEL);
        let project = small.project();
        let options = impatient(&project);
        runtime().block_on(lock(&options, &LockUpdate::Nothing, &Events::silent())).unwrap();
        let text = fs_err::read_to_string(options.lock_path()).unwrap();
        let lock = LockFile::parse("Smolfile.lock", &text, Arch::Amd64).unwrap().get(Arch::Amd64).cloned().unwrap();
        let subject = fs_err::read(small.archive.archive_folder("ubuntu").join(SUBJECT)).unwrap();
        Self { small, project, lock, subject }
    }

    fn on_mirror(&self) -> PathBuf {
        self.small.archive.archive_folder("ubuntu").join(SUBJECT)
    }

    /// Options with a cold cache, and this for the archive's snapshots.
    fn options(&self, what: &str, snapshot: &str) -> BuildOptions {
        let text = fs_err::read_to_string(self.project.path().join("Smolfile.yaml")).unwrap();
        let project = Project::new(&text).with("SMOLVM_SNAPSHOT_UBUNTU", snapshot);
        for name in ["test.gpg", "Smolfile.lock"] {
            fs_err::copy(self.project.path().join(name), project.path().join(name)).unwrap();
        }
        let mut options = impatient(&project);
        options.smolfile = self.project.path().join("Smolfile.yaml");
        options.cache_dir = self.project.path().join(format!("cache {what}"));
        options.image_dir = self.project.path().join(format!("store {what}"));
        options
    }
}

fn vendored(options: &BuildOptions, folder: &Path) -> Result<VendorReport, BuildError> {
    runtime().block_on(vendor(options, folder, &Events::silent()))
}

/// `20260711T101637Z`, by somebody else's calendar.
fn timestamp(seconds: i64) -> String {
    let date =
        std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y%m%dT%H%M%SZ"]).output();
    String::from_utf8(date.unwrap().stdout).unwrap().trim().to_owned()
}

/// Snapshots that have `subject` at one time alone.
fn snapshots(at: i64, subject: &[u8]) -> (Mirror, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ubuntu").join(timestamp(at)).join(SUBJECT);
    fs_err::create_dir_all(place.parent().unwrap()).unwrap();
    fs_err::write(place, subject).unwrap();
    (Mirror::start(folder.path()), folder)
}

#[test]
fn a_version_that_its_mirror_dropped_or_replaced_comes_from_the_snapshot_or_not_at_all() {
    let mut locked = Locked::new();
    let date = locked.lock.indexes.iter().map(|index| index.date).max().unwrap();
    let lock_text = fs_err::read(locked.project.path().join("Smolfile.lock")).unwrap();
    // What the archive has by now.
    locked.small.publish(&TestDeb::new("subject", "1.1").file("./subject", "what is newer"));
    let replaced = {
        let mut bytes = locked.subject.clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    for (what, now_there) in [("dropped", None), ("replaced", Some(&replaced))] {
        match now_there {
            None => fs_err::remove_file(locked.on_mirror()).unwrap(),
            Some(bytes) => fs_err::write(locked.on_mirror(), bytes).unwrap(),
        }
        // At the lock's time, or with what was published at that very time.
        for at in [date, date + DAY] {
            let (mirror, _folder) = snapshots(at, &locked.subject);
            let options =
                locked.options(&format!("{what} {at}"), &format!("{}/ubuntu/{{timestamp}}", mirror.address()));
            let folder = locked.project.path().join(format!("vendor {what} {at}"));
            let (events, log) = recording();
            runtime().block_on(vendor(&options, &folder, &events)).unwrap();
            assert!(fs_err::read(folder.join("ubuntu").join(SUBJECT)).unwrap() == locked.subject);
            let log = log.lock().unwrap();
            assert!(log.contains("Gone { name: \"subject\", version: \"1.0\" }"), "{log}");
            assert_eq!(log.contains("Replaced { name: \"subject\""), now_there.is_some(), "{log}");
        }
        // Nowhere, turned off, and a snapshot that was replaced as well.
        let (other, _folder) = snapshots(date, &replaced);
        let (elsewhere, _none) = snapshots(date - DAY, &locked.subject);
        for (snapshots, tried) in [
            (format!("{}/ubuntu/{{timestamp}}", other.address()), other.address()),
            (format!("{}/ubuntu/{{timestamp}}", elsewhere.address()), elsewhere.address()),
            ("off".to_owned(), locked.small.mirror.address()),
        ] {
            let options = locked.options(&format!("{what} {tried} nowhere"), &snapshots);
            let words = ["subject 1.0 of `ubuntu`", SUBJECT, locked.small.mirror.address(), tried];
            // A kernel that is there would be refused first: it is none.
            locked.small.mirror.fail(KERNEL, Fault::Leisurely);
            assert_fails(what, &options, FailureClass::Build, &words);
            locked.small.mirror.repair(KERNEL);
            let error = vendored(&options, &locked.project.path().join("not filled")).unwrap_err();
            let help = error.diagnostic().help().expect("help").to_string();
            assert!(help.contains("`smolvm lock --update subject`"), "{help}");
            let newer = locked.on_mirror().with_file_name("subject_1.1_all.deb");
            for bytes in [replaced.clone(), fs_err::read(newer).unwrap()] {
                let digest = hex::encode(Sha256::digest(bytes));
                let kept = options.cache_dir.join("sha256").join(&digest[..2]).join(&digest);
                assert!(!kept.exists(), "{what}: another version was taken");
            }
        }
        assert!(
            fs_err::read(locked.project.path().join("Smolfile.lock")).unwrap() == lock_text,
            "{what}: the lock changed"
        );
    }
}

#[test]
fn a_folder_holds_all_that_a_lock_names_and_nothing_else_is_asked() {
    let locked = Locked::new();
    let folder = locked.project.path().join("packages");
    fs_err::create_dir_all(folder.join("ubuntu/pool")).unwrap();
    for name in ["notes.txt", "ubuntu/pool/other.deb"] {
        fs_err::write(folder.join(name), "mine").unwrap();
    }
    let options = locked.options("first", "off");
    let report = vendored(&options, &folder).unwrap();
    // Three of the base and the subject's own, two of the kernel, busybox: `linux-image-virtual` only points at the kernel.
    let all: Vec<_> = locked.lock.packages.iter().map(|package| &package.path).collect();
    assert!(report.files > all.len() && report.added == report.files, "{report:?}");
    assert!(report.not_vendored.is_empty(), "{report:?}");
    for path in all {
        assert!(folder.join("ubuntu").join(path).is_file(), "{path}");
    }
    let list = fs_err::read(folder.join("vendored/faulty-amd64.json"))
        .or_else(|_| fs_err::read(folder.join("vendored/faulty-arm64.json")))
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let lock_file = fs_err::read(options.lock_path()).unwrap();
    assert_eq!(list["lock_sha256"], hex::encode(Sha256::digest(lock_file)));
    assert_eq!(list["files"].as_array().unwrap().len(), report.files);

    // No link to the download cache.
    let place = folder.join("ubuntu").join(SUBJECT);
    let digest = hex::encode(Sha256::digest(&locked.subject));
    let cached = options.cache_dir.join("sha256").join(&digest[..2]).join(&digest);
    let inode = fs_err::metadata(&place).unwrap().ino();
    assert!(inode != fs_err::metadata(&cached).unwrap().ino() && !place.is_symlink());

    // What is whole stays as it is; what is damaged is put right.
    assert_eq!(vendored(&options, &folder).unwrap().added, 0);
    assert_eq!(fs_err::metadata(&place).unwrap().ino(), inode);
    fs_err::write(&place, "damaged").unwrap();
    assert!(fs_err::read(&cached).unwrap() == locked.subject);
    assert_eq!(vendored(&options, &folder).unwrap().added, 1);
    assert!(fs_err::read(&place).unwrap() == locked.subject);
    for name in ["notes.txt", "ubuntu/pool/other.deb"] {
        assert_eq!(fs_err::read_to_string(folder.join(name)).unwrap(), "mine");
    }

    // From the folder alone: no cache, and a mirror that has everything is not asked.
    let mut from_folder = locked.options("cold", "off");
    from_folder.mirror_dir = Some(folder.clone());
    let (events, log) = recording();
    let copied = runtime().block_on(vendor(&from_folder, &locked.project.path().join("copy"), &events)).unwrap();
    assert_eq!((copied.files, copied.added), (report.files, report.files));
    assert!(!log.lock().unwrap().contains("Started {"), "{}", log.lock().unwrap());

    for (what, words, spoil) in [("damaged", "subject in `", Some("damaged")), ("missing", "subject is not in `", None)]
    {
        fs_err::remove_file(&place).unwrap();
        if let Some(bytes) = spoil {
            fs_err::write(&place, bytes).unwrap();
        }
        let error = vendored(&from_folder, &locked.project.path().join("again")).unwrap_err();
        let help = error.diagnostic().help().expect("help").to_string();
        assert!(report_text(&error).contains(words), "{what}: {error}");
        assert!(report_text(&error).contains(&folder.display().to_string()), "{what}: {error}");
        assert!(help.contains("`smolvm vendor "), "{what}: {help}");
    }
}

#[test]
fn a_folder_needs_a_lock_and_has_no_index() {
    let locked = Locked::new();
    let folder = tempfile::tempdir().unwrap();
    let mut options = locked.options("no index", "off");
    options.mirror_dir = Some(folder.path().join("none"));
    assert_fails("no folder", &options, FailureClass::Input, &["none`", "is not a folder"]);

    options.mirror_dir = Some(folder.path().to_owned());
    let before = fs_err::read(options.lock_path()).unwrap();
    let error = runtime().block_on(lock(&options, &LockUpdate::Everything, &Events::silent())).unwrap_err();
    assert!(report_text(&error).contains("has no index"), "{error}");
    let smolfile = fs_err::read_to_string(&options.smolfile).unwrap();
    fs_err::write(&options.smolfile, smolfile.replace("[subject]", "[subject, apt]")).unwrap();
    assert_fails("outrun", &options, FailureClass::Input, &["was written for another `", "has no index"]);
    assert!(fs_err::read(options.lock_path()).unwrap() == before, "the lock was changed");
    fs_err::remove_file(options.lock_path()).unwrap();
    assert_fails("missing", &options, FailureClass::Input, &["there is no `", "Smolfile.lock", "has no index"]);
    assert!(!options.lock_path().exists(), "a lock was written");
    assert_nothing_half("no lock", &options);
    let error = build_with(&options).unwrap_err();
    let help = error.diagnostic().help().expect("help").to_string();
    assert!(help.contains("`smolvm lock -f ") && help.contains("`smolvm vendor "), "{help}");
}

#[test]
fn what_docker_builds_is_not_vendored() {
    let project = Project::new("name: other\nbase: alpine:3.22\n");
    let error = vendored(&project.options(), &project.path().join("packages")).unwrap_err();
    assert_eq!(error.class(), FailureClass::Input);
    assert!(error.to_string().contains("Docker"), "{error}");
    assert!(!project.path().join("packages").exists());
}

/// The whole way, with packages that run.
#[test]
fn a_second_clone_a_warm_cache_and_a_folder_give_the_digest_of_the_first() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let smolfile = "name: same\nbase: debian:bookworm\nsize: auto\nssh: false\n\
                    run:\n  - {command: date -r /etc/passwd > /proof, network: false}\n";
    let first = Project::new(smolfile);
    let built = build_with(&first.options()).unwrap();
    let clone = || {
        let clone = Project::new(smolfile);
        fs_err::copy(first.path().join("Smolfile.lock"), clone.path().join("Smolfile.lock")).unwrap();
        clone
    };
    let assert_same = |what: &str, options: &BuildOptions, project: &Project| {
        let (events, log) = recording();
        let again = project_build(options, &events);
        assert!(!again.cached, "{what}");
        assert_eq!(again.rootfs_blake3, built.rootfs_blake3, "{what}");
        for (one, other) in
            [(&built.kernel, &again.kernel), (built.initrd.as_ref().unwrap(), again.initrd.as_ref().unwrap())]
        {
            assert!(fs_err::read(one).unwrap() == fs_err::read(other).unwrap(), "{what}: {}", other.display());
        }
        let (one, other) = (first.path().join("Smolfile.lock"), project.path().join("Smolfile.lock"));
        assert!(fs_err::read(one).unwrap() == fs_err::read(other).unwrap(), "{what}: the lock changed");
        log.lock().unwrap().clone()
    };

    let second = clone();
    let mut options = second.options();
    options.locked = true;
    assert_same("locked", &options, &second);

    let gone = nobody();
    let third = clone().with("SMOLVM_MIRROR_DEBIAN", &gone).with("SMOLVM_MIRROR_DEBIAN_SECURITY", &gone);
    let mut options = third.options();
    (options.locked, options.offline) = (true, true);
    let log = assert_same("offline", &options, &third);
    assert!(!log.contains("Started {"), "{log}");

    let folder = first.path().join("packages");
    let report = vendored(&first.options(), &folder).unwrap();
    assert_eq!(report.added, report.files);
    let fourth = clone().with("SMOLVM_MIRROR_DIR", folder.to_str().unwrap());
    let mut options = fourth.options();
    assert_eq!(options.mirror_dir.as_deref(), Some(folder.as_path()));
    options.cache_dir = fourth.path().join("cache");
    let log = assert_same("vendored", &options, &fourth);
    assert!(!log.contains("Started {"), "{log}");
    assert!(!options.cache_dir.exists(), "the cache was used");

    // One file of the folder that is not what it was.
    let text = fs_err::read_to_string(first.path().join("Smolfile.lock")).unwrap();
    let dash = LockFile::parse("Smolfile.lock", &text, Arch::Amd64)
        .unwrap()
        .get(Arch::Amd64)
        .cloned()
        .unwrap()
        .packages
        .into_iter()
        .find(|package| package.name == "dash");
    let place = folder.join("debian").join(dash.unwrap().path);
    let mut bytes = fs_err::read(&place).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&place, bytes).unwrap();
    options.image_dir = fourth.path().join("another store");
    assert_fails("damaged", &options, FailureClass::Build, &["dash in `", "is not what was expected"]);
}

fn project_build(options: &BuildOptions, events: &Events) -> smolvm_build::BuiltImage {
    runtime().block_on(smolvm_build::build(options, events)).unwrap_or_else(|error| panic!("{}", report_text(&error)))
}

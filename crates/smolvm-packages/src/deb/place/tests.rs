//! Everything here is judged by the real dpkg: the same packages are unpacked by it and by us, and the two folders,
//! dpkg's database included, must be the same.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use tempfile::TempDir;

use super::*;
use crate::deb::unpack::{UnpackLimits, unpack_from};
use crate::test_deb::{TestDeb, TestEntry};

/// One thing after the other.
enum Step<'a> {
    /// Makes a file, or with a `->` a link, in the image.
    Prepare(&'a str, &'a str),
    Unpack(TestDeb),
    /// By dpkg, in both folders.
    Configure,
}

use Step::{Configure, Prepare, Unpack};

/// Does the steps in two folders, compares them after each, and returns the listing.
fn check(steps: &[Step<'_>]) -> String {
    let mut listing = String::new();
    if !has_dpkg() {
        return listing;
    }
    let theirs = Root::new();
    let ours = Root::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Prepare(path, content) => {
                theirs.prepare(path, content);
                ours.prepare(path, content);
            }
            Unpack(deb) => {
                let file = theirs.folder.path().join(format!("{number}.deb"));
                fs::write(&file, deb.build().unwrap()).unwrap();
                let output = theirs.dpkg(&["--no-triggers", "--unpack", &file.to_string_lossy()]);
                assert!(output.status.success(), "step {number}: {output:?}");
                ours.unpack(deb).unwrap();
                // Does nothing but what every call does first: it takes in what we left for it.
                let output = ours.dpkg(&["--set-selections"]);
                assert!(output.status.success(), "step {number}: {output:?}");
            }
            Configure => {
                for root in [&theirs, &ours] {
                    let output = root.dpkg(&["--configure", "--pending"]);
                    assert!(output.status.success(), "step {number}: {output:?}");
                }
            }
        }
        listing = ours.listing();
        let expected = theirs.listing();
        assert_eq!(listing, expected, "step {number}: ours on the left, dpkg's on the right");
    }
    listing
}

/// Both dpkg and we refuse the last package.
fn check_refused(sound: &[TestDeb], refused: &TestDeb, expected: &str) {
    if !has_dpkg() {
        return;
    }
    let theirs = Root::new();
    let ours = Root::new();
    let file = theirs.folder.path().join("x.deb");
    for deb in sound {
        fs::write(&file, deb.build().unwrap()).unwrap();
        assert!(theirs.dpkg(&["--unpack", &file.to_string_lossy()]).status.success());
        ours.unpack(deb).unwrap();
    }
    fs::write(&file, refused.build().unwrap()).unwrap();
    assert!(!theirs.dpkg(&["--unpack", &file.to_string_lossy()]).status.success());
    assert_eq!(ours.unpack(refused).unwrap_err().to_string(), expected);
}

fn has_dpkg() -> bool {
    let found = Command::new("dpkg").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no dpkg on this machine to compare with");
    }
    found
}

/// A folder with an image and a database in it.
struct Root {
    folder: TempDir,
}

impl Root {
    fn new() -> Self {
        let root = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["info", "triggers", "updates"] {
            fs::create_dir_all(root.path("var/lib/dpkg").join(folder)).unwrap();
        }
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    fn prepare(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, self.path(path)).unwrap(),
            None => fs::write(self.path(path), content).unwrap(),
        }
    }

    fn dpkg(&self, arguments: &[&str]) -> Output {
        Command::new("dpkg")
            .arg(format!("--root={}", self.path("").display()))
            .args(["--log=/dev/null", "--force-not-root", "--force-unsafe-io"])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    fn unpack(&self, deb: &TestDeb) -> Result<(), PlaceError> {
        let scratch = self.folder.path();
        let package = unpack_from(deb.build().unwrap().as_slice(), scratch, &UnpackLimits::default()).unwrap();
        let mut read = |path: &str| Ok(fs::read(self.path(path)).ok());
        let mut database = Database::load(&mut read).unwrap();
        let ops = place(&package, &mut database)?;
        for op in &ops {
            self.apply(op);
        }
        for (path, file) in database.take_changes(&mut read).unwrap() {
            fs::create_dir_all(self.path(&path).parent().unwrap()).unwrap();
            fs::write(self.path(&path), &file.content).unwrap();
            fs::set_permissions(self.path(&path), PermissionsExt::from_mode(file.mode)).unwrap();
        }
        Ok(())
    }

    /// What a session does, without its care.
    fn apply(&self, op: &PlaceOp) {
        let clear = |path: &str| match fs::remove_file(self.path(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        };
        let own = |path: &str, uid: u32, gid: u32| {
            // Without being root there are no other owners to compare.
            let _ = std::os::unix::fs::lchown(self.path(path), Some(uid), Some(gid));
        };
        match op {
            PlaceOp::Directory { path, mode, uid, gid, .. } => {
                if !self.path(path).is_dir() {
                    fs::create_dir(self.path(path)).unwrap();
                    own(path, *uid, *gid);
                    fs::set_permissions(self.path(path), PermissionsExt::from_mode(*mode)).unwrap();
                }
            }
            PlaceOp::File { path, content, mode, uid, gid, .. } => {
                fs::rename(self.folder.path().join(content), self.path(path)).unwrap();
                own(path, *uid, *gid);
                fs::set_permissions(self.path(path), PermissionsExt::from_mode(*mode)).unwrap();
            }
            PlaceOp::Symlink { path, target, uid, gid, .. } => {
                clear(path);
                symlink(target, self.path(path)).unwrap();
                own(path, *uid, *gid);
            }
            PlaceOp::HardLink { path, target } => {
                clear(path);
                fs::hard_link(self.path(target), self.path(path)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everything but times: one line per path, and the text of the files.
    fn listing(&self) -> String {
        let mut lines = BTreeMap::new();
        let mut inodes: BTreeMap<u64, String> = BTreeMap::new();
        self.list("", &mut lines, &mut inodes);
        lines.into_values().collect()
    }

    fn list(&self, folder: &str, lines: &mut BTreeMap<String, String>, inodes: &mut BTreeMap<u64, String>) {
        let mut names: Vec<_> =
            fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = Path::new(folder).join(name).to_string_lossy().into_owned();
            if is_only_ever_dpkgs(&path) {
                continue;
            }
            let metadata = fs::symlink_metadata(self.path(&path)).unwrap();
            let owner = format!("{:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid());
            let line = if metadata.is_dir() {
                self.list(&path, lines, inodes);
                format!("{path}/ {owner}\n")
            } else if metadata.is_symlink() {
                format!("{path} -> {}\n", fs::read_link(self.path(&path)).unwrap().display())
            } else {
                let first = inodes.entry(metadata.ino()).or_insert_with(|| path.clone()).clone();
                let text = fs::read_to_string(self.path(&path)).unwrap();
                format!("{path} {owner} = {first}\n{text}")
            };
            lines.insert(path, line);
        }
    }
}

/// Locks, copies of the state before, and files that one of the two makes before it has anything to put in.
fn is_only_ever_dpkgs(path: &str) -> bool {
    let Some(name) = path.strip_prefix("var/lib/dpkg/") else { return false };
    name.ends_with("-old")
        || ["lock", "lock-frontend", "triggers/Lock", "triggers/Unincorp", "updates", "tmp.ci", "available"]
            .contains(&name)
        || ["info/format", "diversions", "statoverride"].contains(&name)
}

fn deb(name: &str) -> TestDeb {
    TestDeb::new(name, "1.0-1")
}

#[test]
fn a_package_with_everything() {
    let setuid =
        TestEntry { name: b"./usr/bin/tool".to_vec(), mode: 0o4755, content: b"tool".to_vec(), ..TestEntry::default() };
    let listing = check(&[
        Unpack(
            deb("sample")
                .field("Section", "misc")
                .field("Homepage", "https://example.org")
                .field("Depends", "other (>= 1),\n  third | fourth")
                .field("Priority", "optional")
                .control_file("conffiles", "/etc/sample.conf\n/etc/second.conf\n")
                .control_file("shlibs", "libsample 1 sample\n")
                .dir("./etc/")
                .file("./etc/sample.conf", "a=1\n")
                .hard_link("./etc/second.conf", "./etc/sample.conf")
                .dir("./usr/")
                .dir("./usr/bin/")
                .entry(setuid)
                .hard_link("./usr/bin/again", "./usr/bin/tool")
                .symlink("./usr/bin/alternative", "/etc/alternatives/tool"),
        ),
        Unpack(deb("other")),
        Unpack(deb("third")),
        Configure,
    ]);
    if !listing.is_empty() {
        assert!(listing.contains("\netc/sample.conf 100644"), "{listing}");
        assert!(listing.contains("\nusr/bin/again 104755"), "{listing}");
    }
}

#[test]
fn names_with_an_architecture() {
    let Ok(output) = Command::new("dpkg").arg("--print-architecture").output() else { return };
    let arch = String::from_utf8(output.stdout).unwrap();
    check(&[
        Unpack(deb("libsame").arch(arch.trim()).field("Multi-Arch", "same").dir("./opt/").file("./opt/x", "x")),
        Configure,
    ]);
}

#[test]
fn a_package_with_its_own_digests_and_scripts_kept() {
    check(&[Unpack(
        deb("sample").control_file("md5sums", "abc  x\n").control_file("prerm", "#!/bin/sh\n").file("./x", "x"),
    )]);
}

#[test]
fn files_are_taken_over_by_who_replaces_their_owner() {
    let listing = check(&[
        Unpack(deb("old").dir("./opt/").file("./opt/shared", "old").file("./opt/own", "old")),
        Configure,
        Unpack(deb("new").field("Replaces", "old (<< 2)").dir("./opt/").file("./opt/shared", "new")),
        Configure,
    ]);
    if !listing.is_empty() {
        assert!(
            listing.contains("info/old.list 100644 0:0 = var/lib/dpkg/info/old.list\n/.\n/opt\n/opt/own\n"),
            "{listing}"
        );
    }
}

#[test]
fn files_are_kept_by_who_replaces_a_package_that_comes_later() {
    let listing = check(&[
        Unpack(deb("new").field("Replaces", "old").dir("./opt/").file("./opt/shared", "new")),
        Unpack(deb("old").dir("./opt/").file("./opt/shared", "old").file("./opt/own", "old")),
        Configure,
    ]);
    if !listing.is_empty() {
        assert!(listing.contains("opt/shared\nnew"), "{listing}");
    }
}

#[test]
fn conffiles_are_taken_over_with_what_is_known_of_them() {
    let package = |name: &str| {
        deb(name).control_file("conffiles", "/etc/shared.conf\n").dir("./etc/").file("./etc/shared.conf", "same")
    };
    check(&[
        Unpack(package("old").dir("./opt/").file("./opt/own", "")),
        Configure,
        Unpack(package("new").field("Replaces", "old")),
        Configure,
    ]);
    check(&[
        Unpack(package("new").field("Replaces", "old")),
        Unpack(package("old").dir("./opt/").file("./opt/own", "")),
    ]);
}

#[test]
fn conffiles_that_are_no_longer_brought() {
    check(&[Unpack(deb("sample").control_file("conffiles", "remove-on-upgrade /etc/old.conf\n")), Configure]);
}

#[test]
fn diverted_files_go_elsewhere() {
    let diversions = "/opt/tool\n/opt/tool.real\ndiverter\n/opt/local\n/opt/local.real\n:\n";
    let tools = |name: &str| deb(name).dir("./opt/").file("./opt/tool", name);
    check(&[
        Prepare("var/lib/dpkg/diversions", diversions),
        Unpack(tools("diverter")),
        Unpack(tools("other").file("./opt/local", "").hard_link("./opt/link", "./opt/tool")),
        Configure,
    ]);
    check(&[
        Prepare("var/lib/dpkg/diversions", diversions),
        Unpack(tools("other")),
        Unpack(tools("diverter")),
        Configure,
    ]);
    check(&[
        Prepare("var/lib/dpkg/diversions", "/etc/x.conf\n/etc/x.conf.real\ndiverter\n"),
        Unpack(deb("other").control_file("conffiles", "/etc/x.conf\n").dir("./etc/").file("./etc/x.conf", "x")),
        Configure,
    ]);
}

#[test]
fn overridden_owners_and_modes_are_kept() {
    let folder = "./opt/";
    check(&[
        Prepare("var/lib/dpkg/statoverride", "#3 #4 2750 /opt/tool\n"),
        Unpack(deb("sample").dir(folder).file("./opt/tool", "")),
    ]);
}

#[test]
fn owners_are_taken_by_number_where_the_image_does_not_know_the_name() {
    let entry = TestEntry {
        name: b"./x".to_vec(),
        owner: (4711, 4712),
        owner_names: ("nobody-knows-me".to_owned(), "nor-me".to_owned()),
        ..TestEntry::default()
    };
    check(&[Unpack(deb("sample").entry(entry))]);
}

#[test]
fn a_merged_usr_is_used_through_its_links() {
    check(&[
        Prepare("usr/bin/present", ""),
        Prepare("bin", "-> usr/bin"),
        Unpack(deb("old").dir("./bin/").file("./bin/sh", "sh").symlink("./bin/link", "sh")),
        Unpack(deb("new").dir("./usr/").dir("./usr/bin/").file("./usr/bin/true", "true")),
        Unpack(deb("base-files").symlink("./bin", "usr/bin")),
        Configure,
    ]);
}

#[test]
fn folders_are_shared_and_win_over_links() {
    check(&[
        Unpack(deb("folder").dir("./opt/").dir("./opt/a/").file("./opt/a/x", "")),
        Unpack(deb("again").dir("./opt/").dir("./opt/a/").file("./opt/a/y", "")),
        Unpack(deb("link").dir("./opt/").symlink("./opt/a", "b")),
    ]);
}

#[test]
fn triggers_are_known_and_set_off() {
    let listing = check(&[
        Unpack(
            deb("watcher")
                .control_file("triggers", "interest /opt/watched\ninterest-noawait /opt/other\ninterest event\n"),
        ),
        Configure,
        Unpack(deb("first").dir("./opt/").dir("./opt/watched/").file("./opt/watched/x", "")),
        Unpack(
            deb("second").control_file("triggers", "activate-noawait event\n").dir("./opt/").file("./opt/other", ""),
        ),
        Unpack(deb("third").control_file("triggers", "activate event\n# nothing\n")),
        Configure,
    ]);
    if !listing.is_empty() {
        assert!(listing.contains("/opt/watched watcher\n/opt/other watcher/noawait\n"), "{listing}");
    }
}

#[test]
fn two_packages_with_one_file_are_refused() {
    let one = deb("one").dir("./opt/").file("./opt/x", "1");
    let two = deb("two").dir("./opt/").file("./opt/x", "2");
    check_refused(&[one], &two, "the package two has the file /opt/x, which the package one has too");
    let newer = TestDeb::new("one", "3").dir("./opt/").file("./opt/x", "1");
    let replaces_older = two.field("Replaces", "one (<< 2)");
    check_refused(&[newer], &replaces_older, "the package two has the file /opt/x, which the package one has too");
    let folder = deb("three").dir("./opt/").dir("./opt/y/").file("./opt/y/z", "");
    let file = deb("four").dir("./opt/").file("./opt/y", "");
    check_refused(&[folder], &file, "the package four has the file /opt/y, which the package three has too");
}

#[test]
fn a_package_is_never_upgraded() {
    let root = Root::new();
    root.unpack(&deb("sample")).unwrap();
    let error = root.unpack(&TestDeb::new("sample", "2.0-1")).unwrap_err();
    let expected = "the package sample is to be installed, and its version 1.0-1 is installed already";
    assert_eq!(error.to_string(), expected);
}

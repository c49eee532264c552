//! All of it again as an ordinary user with sub-ids, made for the purpose.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NAME: &str = "smolvm-sandbox-test";

/// A fresh user, gone at the end, and a copy of this test program that the user may run.
struct User {
    folder: tempfile::TempDir,
    uid: String,
    gid: String,
    _lock: std::fs::File,
}

impl User {
    /// `None`, said on stderr, where no user can be made.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can make a user to test with");
            return None;
        }
        if !Path::new("/usr/bin/newuidmap").exists() || !Path::new("/usr/sbin/useradd").exists() {
            eprintln!("skipped: newuidmap (package uidmap) or useradd is not installed");
            return None;
        }
        let lock = std::fs::File::create(std::env::temp_dir().join("smolvm-sandbox-test.lock")).expect("a lock file");
        lock.lock().expect("a lock");
        remove_user();
        let made =
            Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", NAME]).output().expect("useradd");
        assert!(made.status.success(), "{made:?}");
        let id = |flag| {
            String::from_utf8(Command::new("id").args([flag, NAME]).output().expect("id").stdout)
                .expect("UTF-8")
                .trim()
                .to_owned()
        };
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
        std::fs::copy(std::env::current_exe().expect("this program"), folder.path().join("it")).expect("a copy");
        Some(Self { folder, uid: id("-u"), gid: id("-g"), _lock: lock })
    }

    /// Runs this test program as the user.
    fn tests(&self, arguments: &[&str], sample: &Path) -> Output {
        Command::new("setpriv")
            .args(["--reuid", &self.uid, "--regid", &self.gid, "--clear-groups", "--"])
            .arg(self.folder.path().join("it"))
            .args(arguments)
            .env("TMPDIR", self.folder.path())
            .env("SMOLVM_TEST_SAMPLE", sample)
            .current_dir("/")
            .output()
            .expect("setpriv")
    }

    fn sample_path(&self) -> PathBuf {
        self.folder.path().join("sample")
    }
}

impl Drop for User {
    fn drop(&mut self) {
        remove_user();
    }
}

fn remove_user() {
    let _ = Command::new("userdel").args(["--force", NAME]).output();
}

#[test]
fn everything_holds_for_a_plain_user() {
    let Some(user) = User::new() else { return };
    let output = user.tests(&["--skip", "plain_user::", "--test-threads", "4", "--nocapture"], &user.sample_path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let skipped = String::from_utf8_lossy(&output.stderr).contains("skipped");
    assert!(!skipped, "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = std::fs::read_dir(user.folder.path())
        .expect("a folder")
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|name| name != "it" && name != "sample")
        .collect();
    assert!(left.is_empty(), "scratch folders were left behind: {left:?}");
}

#[test]
fn the_tree_is_the_same_for_root_and_user() {
    let Some(user) = User::new() else { return };
    let output = user.tests(&["--exact", "tree::sample_for_another_test"], &user.sample_path());
    assert!(output.status.success(), "{output:?}");
    let Some(as_root) = crate::tree::sample() else { return };
    assert_eq!(std::fs::read_to_string(user.sample_path()).expect("the sample"), as_root);
}

#[test]
fn a_user_without_sub_ids_is_told_the_command() {
    let Some(user) = User::new() else { return };
    for (file, remove, add) in
        [("/etc/subuid", "--del-subuids", "--add-subuids"), ("/etc/subgid", "--del-subgids", "--add-subgids")]
    {
        let table = std::fs::read_to_string(file).expect("the table");
        let line = table.lines().find(|line| line.starts_with(NAME)).expect("the user's line");
        let numbers: Vec<u32> = line.split(':').skip(1).filter_map(|number| number.parse().ok()).collect();
        let range = format!("{}-{}", numbers[0], numbers[0] + numbers[1] - 1);
        let change = |option: &str| {
            assert!(Command::new("usermod").args([option, range.as_str(), NAME]).status().expect("usermod").success());
        };
        change(remove);
        let output = user.tests(&["--exact", "host::reports_for_another_test", "--nocapture"], Path::new("/"));
        change(add);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("smolvm::sandbox::no_sub_ids"), "{text}");
        assert!(text.contains(&format!("{file} gives user `{NAME}` 0 ids")), "{text}");
        assert!(text.contains("sudo usermod --add-subuids ") && text.contains(NAME), "{text}");
    }
}

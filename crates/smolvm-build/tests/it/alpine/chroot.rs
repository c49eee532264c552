//! The mini root file system as a folder, in which its own apk runs.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::AlpineMirror;
use crate::support::{has, is_root};

/// A root file system of its own, with the network of the host.
pub(super) struct Chroot(tempfile::TempDir);

/// What a command said.
pub(super) struct Ran {
    pub(super) succeeded: bool,
    /// Both streams, as they came.
    pub(super) text: String,
}

impl Chroot {
    /// The mini root file system, with apk told of the mirror; `None`, with the reason on stderr, where that cannot be.
    pub(super) fn new(mirror: &AlpineMirror) -> Option<Self> {
        if !has("root's rights, for chroot", is_root()) {
            return None;
        }
        let chroot = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        let mut tar = Command::new("tar");
        tar.arg("-xzpf").arg(mirror.minirootfs.archive()).arg("-C").arg(chroot.path());
        assert!(tar.status().unwrap().success());
        // The archive has no devices. Scripts write to this one, and sshd wants it.
        let null = Command::new("mknod")
            .args(["-m", "666"])
            .arg(chroot.path().join("dev/null"))
            .args(["c", "1", "3"])
            .status();
        assert!(null.unwrap().success());
        // A temporary folder is its maker's alone; sshd's unprivileged part has to get in.
        fs_err::set_permissions(chroot.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::write(chroot.path().join("etc/apk/repositories"), mirror.repositories()).unwrap();
        fs_err::write(chroot.path().join("etc/apk/keys").join(mirror.key_file()), mirror.public_key()).unwrap();
        Some(chroot)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path().join(path)).unwrap()
    }

    /// A command that will run in it.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.path()).args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a script.
    pub(super) fn sh(&self, script: &str) -> Ran {
        let output = self.command(&["/bin/sh", "-c", &format!("exec 2>&1\n{script}")]).output().unwrap();
        Ran { succeeded: output.status.success(), text: String::from_utf8_lossy(&output.stdout).into_owned() }
    }
}

impl Ran {
    /// What it said, if it did what it should.
    #[track_caller]
    pub(super) fn expect_success(self) -> String {
        assert!(self.succeeded, "{self}");
        self.text
    }

    /// What it said, if it did not.
    #[track_caller]
    pub(super) fn expect_failure(self) -> String {
        assert!(!self.succeeded, "{self}");
        self.text
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

//! A user to build as.

use std::process::Command;

use crate::support::ran;

/// A user without privileges but with sub-ids, gone at the end.
pub(crate) struct PlainUser {
    name: &'static str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl PlainUser {
    /// Makes one of this name, which no other test has.
    pub(crate) fn make(name: &'static str) -> Self {
        Self::remove(name);
        for file in ["/etc/subuid", "/etc/subgid"] {
            // `useradd` adds ranges to files that exist alone.
            std::fs::OpenOptions::new().append(true).create(true).open(file).expect("sub-ids can be given");
        }
        ran(Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", name])).expect_code(0);
        let id = |flag| ran(Command::new("id").args([flag, name])).stdout.trim().parse().expect("a number");
        Self { name, uid: id("-u"), gid: id("-g") }
    }

    fn remove(name: &str) {
        // It is not there, usually.
        let _ = Command::new("userdel").args(["--force", name]).output();
    }
}

impl Drop for PlainUser {
    fn drop(&mut self) {
        Self::remove(self.name);
    }
}

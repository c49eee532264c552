//! A Debian base image for the daemon of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{debian_host, docker_address, has, is_root, programs_are_here};
use crate::trees::mmdebstrap;

/// An image that `docker import` made; its name goes when this is dropped.
pub(super) struct DebianImage {
    address: String,
    name: String,
}

/// The daemon's address, where this machine has what is needed to build Debian by Docker and to boot it.
pub(super) fn debian_by_docker() -> Option<String> {
    let here = is_root()
        && debian_host()
        && programs_are_here(&["docker", "mmdebstrap", "qemu-system-x86_64", "ssh", "mount"]);
    has("root, docker, mmdebstrap, qemu-system-x86_64, ssh and an apt mirror of Debian", here).then_some(())?;
    docker_address()
}

impl DebianImage {
    /// Imports a minimal bookworm under this name, with these changes (`ENV A=b`).
    pub(super) fn import(address: &str, name: &str, changes: &[&str]) -> Self {
        let archive = minimal_bookworm();
        let mut command = Command::new("docker");
        command.args(["--host", address, "import"]);
        for change in changes {
            command.args(["--change", change]);
        }
        let output = command.arg(archive).arg(name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { address: address.to_owned(), name: name.to_owned() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for DebianImage {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["--host", &self.address, "rmi", "--force", &self.name]).output();
    }
}

/// An archive of it, made once in a run of the tests: the mirror may have changed by the next one.
fn minimal_bookworm() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("minimal-bookworm");
    fs_err::create_dir_all(&folder).unwrap();
    let turn = fs_err::File::create(folder.join("lock")).unwrap();
    turn.file().lock().unwrap();
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let archive = folder.join(format!("{run}.tar"));
    if archive.exists() {
        return archive;
    }
    for old in fs_err::read_dir(&folder).unwrap().map(Result::unwrap) {
        if old.file_name() != "lock" {
            fs_err::remove_file(old.path()).unwrap();
        }
    }
    let made = folder.join("made.tar");
    mmdebstrap(&made, "apt");
    fs_err::rename(&made, &archive).unwrap();
    archive
}

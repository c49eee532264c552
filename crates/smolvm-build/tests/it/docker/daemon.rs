//! The daemon of the tests, and the small image that they start from.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::smolfile;
use crate::support::{Project, has, programs_are_here};

/// Where the tests look for a daemon.
const VARIABLE: &str = "SMOLVM_TEST_DOCKER";
/// The host's busybox, which needs no library, is the whole image.
const BUSYBOX: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];

/// A daemon, spoken to by the `docker` command.
pub(super) struct Docker {
    /// For `DOCKER_HOST`.
    pub(super) address: String,
}

impl Docker {
    /// The daemon of the tests, where there is one.
    pub(super) fn of_tests() -> Option<Self> {
        let address = std::env::var(VARIABLE).ok();
        let here = address.is_some() && programs_are_here(&["docker"]) && busybox().is_some();
        has("a Docker daemon (SMOLVM_TEST_DOCKER), the docker command and busybox-static", here).then_some(())?;
        Some(Self { address: address? })
    }

    /// What the command prints.
    pub(super) fn ask(&self, words: &[&str]) -> String {
        let ran = self.command(words).output().unwrap();
        assert!(ran.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(&self.address).args(words);
        command
    }

    /// Makes a small image of this name, for this machine or another one.
    pub(super) fn import(&self, name: &str, platform: Option<&str>) -> Image<'_> {
        let name = format!("smolvm-test:{name}");
        let platform = platform.map(|platform| format!("--platform={platform}"));
        let words: Vec<&str> = ["import"].into_iter().chain(platform.as_deref()).chain(["-", &name]).collect();
        let mut child =
            self.command(&words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&small_image()).unwrap();
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "docker import: {}", String::from_utf8_lossy(&ran.stderr));
        Image { docker: self, name }
    }

    /// Every container, and every image that smolvm made: each one a line.
    pub(super) fn left(&self) -> String {
        let mut left = self.ask(&["ps", "--all", "--format", "container {{.ID}} {{.Status}} {{.Command}}"]);
        let images = self.ask(&["images", "--all", "--filter", "label=smolvm.owner", "--format", "image {{.ID}}"]);
        write!(left, "{images}").unwrap();
        left
    }
}

/// An image of the tests'. It is removed when it is dropped.
pub(super) struct Image<'a> {
    docker: &'a Docker,
    pub(super) name: String,
}

impl Image<'_> {
    /// A project that starts from it, and what else the Smolfile says.
    pub(super) fn project(&self, more: &str) -> Project {
        Project::new(&format!("{}{more}", smolfile(&self.name))).with("DOCKER_HOST", &self.docker.address)
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        let _ = self.docker.command(&["rmi", "--force", &self.name]).output();
    }
}

fn busybox() -> Option<Vec<u8>> {
    // Only one that needs no library: its file does not name a loader.
    let is_static = |bytes: &Vec<u8>| !bytes.windows(7).take(64 << 10).any(|window| window == b"/lib64/");
    BUSYBOX.iter().filter_map(|path| std::fs::read(path).ok()).find(is_static)
}

/// Busybox as everything, with accounts, and a package manager that has every package already.
fn small_image() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8], mode| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, path, bytes).unwrap();
    };
    add("bin/busybox", &busybox().unwrap(), 0o755);
    add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644);
    add("etc/group", b"root:x:0:\n", 0o644);
    add("etc/shadow", b"root:*:19000:0:99999:7:::\n", 0o640);
    add("sbin/apk", b"#!/bin/sh\nexit 0\n", 0o755);
    add("tmp/keep", b"", 0o644);
    for name in [
        "addgroup", "adduser", "cat", "chmod", "chown", "chpasswd", "dd", "echo", "env", "head", "ls", "mkdir", "rm",
        "seq", "sh", "sleep", "test", "true", "wc",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        archive.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    archive.into_inner().unwrap()
}

//! The daemon of the tests, and the small image that they start from.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;
use sha2::{Digest as _, Sha256};

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

    /// Makes a small image of this name for this machine.
    pub(super) fn import(&self, name: &str) -> Image<'_> {
        let name = format!("smolvm-test:{name}");
        self.give(&["import", "-", &name], &small_image());
        Image { docker: self, name }
    }

    /// Makes an image of this name for another machine, which `docker import` does not do before Docker 23.
    pub(super) fn load(&self, name: &str, architecture: &str) -> Image<'_> {
        let name = format!("smolvm-test:{name}");
        let layer = small_image();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&layer)));
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest]},
        });
        let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
        let mut archive = tar::Builder::new(Vec::new());
        add(&mut archive, "config.json", config.to_string().as_bytes(), 0o644);
        add(&mut archive, "manifest.json", manifest.to_string().as_bytes(), 0o644);
        add(&mut archive, "layer.tar", &layer, 0o644);
        self.give(&["load"], &archive.into_inner().unwrap());
        Image { docker: self, name }
    }

    fn give(&self, words: &[&str], input: &[u8]) {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
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

/// As their namesakes of Alpine, for what a Dockerfile of smolvm says: Debian's busybox lacks them.
const ADDGROUP: &[u8] = b"#!/bin/sh
echo \"$3:x:$2:\" >> /etc/group
";
const ADDUSER: &[u8] = b"#!/bin/sh
echo \"${10}:x:$3:$3::$9:$7\" >> /etc/passwd
echo \"${10}:!:19000:0:99999:7:::\" >> /etc/shadow
mkdir -p \"$9\"
";
const CHPASSWD: &[u8] = b"#!/bin/sh
while IFS=: read -r name hash; do sed -i \"s|^$name:[^:]*|$name:$hash|\" /etc/shadow; done
";

/// Busybox as everything, with accounts, and a package manager that has every package already.
fn small_image() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "bin/busybox", &busybox().unwrap(), 0o755);
    add(&mut archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644);
    add(&mut archive, "etc/group", b"root:x:0:\n", 0o644);
    add(&mut archive, "etc/shadow", b"root:*:19000:0:99999:7:::\n", 0o640);
    add(&mut archive, "sbin/apk", b"#!/bin/sh\nexit 0\n", 0o755);
    for (name, script) in [("addgroup", ADDGROUP), ("adduser", ADDUSER), ("chpasswd", CHPASSWD)] {
        add(&mut archive, &format!("bin/{name}"), script, 0o755);
    }
    add(&mut archive, "tmp/keep", b"", 0o644);
    for name in [
        "cat", "chmod", "chown", "dd", "echo", "env", "head", "ls", "mkdir", "rm", "seq", "sed", "sh", "sleep", "test",
        "true", "wc",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        archive.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    archive.into_inner().unwrap()
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, bytes).unwrap();
}

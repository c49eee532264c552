//! Disks without space, at every stage of a build that writes.

use std::path::Path;
use std::process::Command;

use smolvm_build::FailureClass;

use crate::archive::{assert_fails, build_with};
use crate::support::{Project, debian_host, has, is_root};

#[test]
fn a_full_store_is_told_and_the_next_build_with_room_works() {
    if !has("root, and an apt mirror of Debian", is_root() && debian_host()) {
        return;
    }
    let project = Project::new("base: debian:bookworm\nsize: 1GiB\nssh: false\n");
    let disk = SmallDisk::new();
    let mut options = project.options();
    options.image_dir = disk.path().to_owned();
    // Too small for what is unpacked, and for the image beside it.
    for size in ["60m", "330m"] {
        disk.resize(size);
        let words = ["no space left", disk.path().to_str().unwrap()];
        assert_fails(size, &options, FailureClass::Host, &words);
    }
    disk.resize("2g");
    build_with(&options).unwrap();
}

#[test]
fn a_step_that_fills_the_disk_is_told_with_its_output() {
    if !has("root, and an apt mirror of Debian", is_root() && debian_host()) {
        return;
    }
    // The kernel is unpacked on the same disk meanwhile, and is to be done before.
    let step = "sleep 15; head -c 1000000000 /dev/zero > /large";
    let project = Project::new(&format!(
        "base: debian:bookworm\nsize: 2GiB\nssh: false\nrun:\n  - {{command: \"{step}\", network: false}}\n"
    ));
    let disk = SmallDisk::new();
    disk.resize("500m");
    let mut options = project.options();
    options.image_dir = disk.path().to_owned();
    options.scratch_memory = Some(0);
    let words = ["no space left", disk.path().to_str().unwrap(), "run[0] failed", step, "No space left on device"];
    assert_fails("run", &options, FailureClass::Host, &words);
}

#[test]
fn a_full_download_cache_is_told() {
    if !has("root, and an apt mirror of Debian", is_root() && debian_host()) {
        return;
    }
    let project = Project::new("base: debian:bookworm\nsize: 1GiB\nssh: false\n");
    let disk = SmallDisk::new();
    let mut options = project.options();
    options.cache_dir = disk.path().to_owned();
    // Too small for a signed index, then for a package index.
    for size in ["16k", "2m"] {
        disk.resize(size);
        let words = ["no space left", "download cache", disk.path().to_str().unwrap()];
        assert_fails(size, &options, FailureClass::Host, &words);
        assert!(!options.lock_path().exists());
    }
}

/// A file system in memory, for as long as it lives.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount("size=1m");
        disk
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn resize(&self, size: &str) {
        self.mount(&format!("remount,size={size}"));
    }

    fn mount(&self, options: &str) {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path()).output();
        let mount = mount.unwrap();
        assert!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

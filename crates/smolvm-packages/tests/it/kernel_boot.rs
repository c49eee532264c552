//! The distribution's own kernel, our initrd and an image of ours, booted.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it skips")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use smolvm_packages::kernel::{Kernel, ModuleSet, SourceFile, busybox};
use smolvm_rootfs::{Content, Ext4Options, Ext4Size, Inode, Kind, RootTree, write_ext4};

use crate::host_apt::{HostApt, command};

/// Emulated, on a busy machine; a good run takes 5 s.
const TIME_LIMIT: Duration = Duration::from_mins(3);
const EPOCH: i64 = 1_700_000_000;

/// The image's first process: says what it finds, and powers off.
const INIT: &str = r#"#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
$busybox mount -t devtmpfs devtmpfs /dev
read -r up rest < /proc/uptime
echo "arguments: $*"
echo "mounted: $($busybox awk '{ printf "%s ", $2 }' /proc/mounts)"
echo "interfaces: $(cd /sys/class/net && echo *)"
echo "root: $($busybox stat -c '%a %u %g' /secret) $(cat /hello)"
echo written > /new && echo "writable: $(cat /new)"
$busybox modprobe overlay && echo "overlay: $($busybox grep -c overlay /proc/filesystems)"
echo "init reached after $up s"
$busybox poweroff -f
"#;

struct Machine {
    kernel: Kernel,
    initrd: Vec<u8>,
    busybox: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// Of the host's mirror; `None`, with the reason on stderr, where something is missing.
    fn get() -> Option<Self> {
        let skip = |reason: &str| {
            eprintln!("skipped: {reason}");
            None
        };
        if command(Command::new("qemu-system-x86_64").arg("--version")).is_none() {
            return skip("there is no qemu-system-x86_64 here");
        }
        if cfg!(not(target_arch = "x86_64")) {
            return skip("the kernel of this machine's architecture needs another QEMU");
        }
        let apt = HostApt::get()?;
        let Some(installed) = apt.install("status", &["linux-image-cloud-amd64", "busybox-static"]) else {
            return skip("the mirror has no linux-image-cloud-amd64");
        };
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for package in &installed {
            // Not the meta package, whose name has no version.
            if package.starts_with("linux-image-6") || package.starts_with("busybox-static=") {
                let Some(deb) = apt.download(package, folder.path()) else {
                    return skip("a package cannot be fetched");
                };
                let unpacked = deb.with_extension("unpacked");
                command(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked)).expect("dpkg-deb -x");
                add_files(&unpacked, &unpacked, &mut files);
            }
        }
        let kernel = Kernel::find(&files).unwrap();
        let busybox = busybox(&files).unwrap();
        Some(Self { initrd: kernel.initrd(&busybox, EPOCH).unwrap(), kernel, busybox, _folder: folder })
    }

    fn root(&self) -> RootTree {
        let mut tree = RootTree::new(EPOCH);
        for folder in ["bin", "dev", "proc", "sys", "usr", "usr/lib"] {
            tree.insert(folder, Inode::new(Kind::Directory, 0o755, 0, 0, EPOCH)).unwrap();
        }
        tree.insert("lib", Inode::new(Kind::Symlink("usr/lib".to_owned()), 0o777, 0, 0, EPOCH)).unwrap();
        let mut file = |path: &str, bytes: &[u8], mode| tree.write_file(path, bytes, mode, 0, 0, EPOCH).unwrap();
        file("bin/busybox", &self.busybox, 0o755);
        file("init", INIT.as_bytes(), 0o755);
        file("hello", b"hello", 0o644);
        let secret = Inode::new(Kind::File(Content::bytes(*b"secret")), 0o640, 1000, 42, EPOCH);
        tree.insert("secret", secret).unwrap();
        tree.insert("bin/sh", Inode::new(Kind::Symlink("busybox".to_owned()), 0o777, 0, 0, EPOCH)).unwrap();
        tree.insert("bin/cat", Inode::new(Kind::Symlink("busybox".to_owned()), 0o777, 0, 0, EPOCH)).unwrap();
        self.kernel.add_modules(&mut tree, ModuleSet::Chosen, EPOCH).unwrap();
        tree
    }

    /// What the console shows until the machine is off, and how long that took.
    fn boot(&self, arguments: &str) -> (String, Duration) {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("rootfs.ext4");
        let initrd = folder.path().join("initrd");
        std::fs::write(&initrd, &self.initrd).unwrap();
        let image = std::fs::File::create_new(&disk).unwrap();
        let options =
            Ext4Options { size: Ext4Size::Auto, uuid: [1; 16], hash_seed: [2; 16], epoch: EPOCH, label: String::new() };
        write_ext4(&self.root(), &options, &image, &AtomicBool::new(false)).unwrap();

        let started = Instant::now();
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-m", "512", "-smp", "2", "-nographic", "-no-reboot", "-nodefaults"])
            .args(["-serial", "stdio", "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net"])
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw", disk.display()))
            .arg("-kernel")
            .arg(self.kernel.image())
            .arg("-initrd")
            .arg(&initrd)
            .arg("-append")
            .arg(format!("console=ttyS0 reboot=k panic=1 quiet {arguments}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = qemu.stdout.take().unwrap();
        let console = std::thread::spawn(move || {
            let mut text = Vec::new();
            output.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).replace('\r', ""))
        });
        while qemu.try_wait().unwrap().is_none() {
            if started.elapsed() > TIME_LIMIT {
                qemu.kill().unwrap();
                qemu.wait().unwrap();
                panic!("the machine did not end within {TIME_LIMIT:?}:\n{}", console.join().unwrap().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (console.join().unwrap().unwrap(), started.elapsed())
    }
}

fn add_files(folder: &Path, root: &Path, files: &mut Vec<SourceFile>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path: PathBuf = entry.path();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            add_files(&path, root, files);
        } else if metadata.is_file() {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push(SourceFile { path: name, content: path, size: metadata.len(), mtime: EPOCH });
        }
    }
}

#[test]
fn boots_to_the_images_init() {
    let Some(machine) = Machine::get() else { return };
    let (console, duration) = machine.boot("root=/dev/vda rw init=/init one two");
    let has = |line: &str| assert!(console.contains(line), "`{line}` is missing on the console:\n{console}");
    has("arguments: one two\n");
    // Nothing of the initrd's own mounts is left; the last three are those of this init.
    has("mounted: / /proc /sys /dev \n");
    has("interfaces: eth0 lo\n");
    has("root: 640 1000 42 hello\n");
    has("writable: written\n");
    has("overlay: 1\n");
    has("init reached after ");
    assert!(!console.contains("smolvm-initrd:"), "{console}");
    eprintln!("{} ran for {duration:?}", machine.kernel.release());
}

#[test]
fn a_missing_root_disk_is_said_and_ends_the_machine() {
    let Some(machine) = Machine::get() else { return };
    let (console, _) = machine.boot("root=/dev/vdb rw rootdelay=1");
    let expected = "smolvm-initrd: cannot boot: the root disk /dev/vdb did not appear within 1 s; there is: /dev/vda";
    assert!(console.contains(expected), "{console}");
    assert!(console.contains("Kernel panic"), "panic= decides what comes next:\n{console}");
    let (console, _) = machine.boot("root=/dev/vda rw init=/nowhere");
    assert!(console.contains("smolvm-initrd: cannot boot: /dev/vda has no /nowhere"), "{console}");
}

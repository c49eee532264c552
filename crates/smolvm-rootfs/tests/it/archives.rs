//! The tar and cpio forms, read back by other programs.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use smolvm_rootfs::{CpioWriter, DeviceKind, Inode, Kind, write_tar};

use crate::trees::{CAPABILITY, EPOCH, file, folder, small_tree};

/// What a program answers to this input, or nothing, said on stderr, where it is not installed.
fn answer(program: &str, arguments: &[&str], input: &[u8]) -> Option<String> {
    let Ok(mut child) = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        eprintln!("skipped: `{program}` is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn gnu_tar_lists_what_the_tree_says() {
    let mut tree = small_tree();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    tree.insert(&"d".repeat(200), folder()).unwrap();
    tree.insert(&long, Inode { uid: u32::MAX - 1, ..file(*b"long") }).unwrap();
    let mut archive = Vec::new();
    write_tar(&tree, &mut archive).unwrap();
    let Some(listing) = answer("tar", &["-tv", "--numeric-owner", "--full-time", "-f", "-"], &archive) else { return };
    let listing = listing.replace(&long, "LONG").replace(&"d".repeat(200), "DIR").replace(&"x".repeat(70), "XXX");
    insta::assert_snapshot!(listing, @"
    drwxr-xr-x 0/0               0 2025-06-15 15:06:40 ./
    lrwxrwxrwx 0/0               0 2025-06-15 15:06:40 bin -> usr/bin
    drwxr-xr-x 0/0               0 2025-06-15 15:06:40 DIR/
    -rw-r--r-- 4294967294/0      4 2025-06-15 15:06:40 LONG
    drwxr-xr-x 0/0               0 2025-06-15 15:06:40 dev/
    crw-rw-rw- 0/0             1,3 2025-06-15 15:06:40 dev/null
    prw------- 1/2               0 2025-06-15 15:06:35 dev/pipe
    brw-rw---- 0/6         254,300 2025-06-15 15:06:40 dev/vda
    drwxr-xr-x 0/0               0 2025-06-15 15:06:40 etc/
    -rw------- 0/0               0 2025-06-15 15:06:40 etc/empty
    lrwxrwxrwx 0/0               0 2025-06-15 15:06:40 etc/far -> /XXX
    -rw-r--r-- 0/0               4 2025-06-15 15:06:40 etc/hostname
    -rw-r--r-- 1000/100000       8 2025-06-15 15:06:40 etc/shared with spaces
    drwxrwxrwt 0/0               0 2025-06-15 15:06:40 tmp/
    drwxr-xr-x 0/0               0 2025-06-15 15:06:40 usr/
    drwxr-xr-x 0/0               0 2025-06-15 15:06:40 usr/bin/
    -rwsr-xr-x 0/0           10000 2025-06-15 15:06:40 usr/bin/ping
    hrwsr-xr-x 0/0               0 2025-06-15 15:06:40 usr/bin/ping4 link to usr/bin/ping
    -rw-r--r-- 0/0         3145728 2025-06-15 15:06:40 usr/sparse
    ");
}

#[test]
fn extended_attributes_are_pax_records() {
    let mut archive = Vec::new();
    write_tar(&small_tree(), &mut archive).unwrap();
    let mut found = None;
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new("usr/bin/ping") {
            let extensions = entry.pax_extensions().unwrap().unwrap();
            found = extensions
                .filter_map(Result::ok)
                .find(|extension| extension.key() == Ok("SCHILY.xattr.security.capability"))
                .map(|extension| hex::encode(extension.value_bytes()));
        }
    }
    assert_eq!(found.as_deref(), Some(CAPABILITY));
}

#[test]
fn tar_refuses_content_that_changed_its_size() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("content");
    fs_err::write(&path, b"12345").unwrap();
    for recorded in [4, 6] {
        let mut tree = small_tree();
        let content = smolvm_rootfs::Content::File { path: path.clone(), size: recorded };
        tree.insert("changed", Inode::new(Kind::File(content), 0o644, 0, 0, 0)).unwrap();
        let error = write_tar(&tree, std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("changed while it was being read"), "{error}");
    }
}

fn cpio() -> Vec<u8> {
    let mut archive = CpioWriter::new(Vec::new(), EPOCH);
    archive.directory("bin", 0o755).unwrap();
    archive.file("bin/three", 0o644, b"123").unwrap();
    archive.file("/init", 0o755, b"#!/bin/sh\n").unwrap();
    archive.symlink("bin/sh", "busybox").unwrap();
    archive.directory("dev", 0o755).unwrap();
    archive.device("dev/console", 0o600, DeviceKind::Char, 5, 1).unwrap();
    archive.device("dev/vda", 0o660, DeviceKind::Block, 254, 0).unwrap();
    archive.finish().unwrap()
}

#[test]
fn busybox_cpio_lists_what_was_written() {
    let Some(listing) = answer("busybox", &["cpio", "-tv"], &cpio()) else { return };
    insta::assert_snapshot!(listing, @"
    drwxr-xr-x 0/0         0 2025-06-15 15:06:40 bin
    -rw-r--r-- 0/0         3 2025-06-15 15:06:40 bin/three
    -rwxr-xr-x 0/0        10 2025-06-15 15:06:40 init
    lrwxrwxrwx 0/0         0 2025-06-15 15:06:40 bin/sh -> busybox
    drwxr-xr-x 0/0         0 2025-06-15 15:06:40 dev
    crw------- 0/0         0 2025-06-15 15:06:40 dev/console
    brw-rw---- 0/0         0 2025-06-15 15:06:40 dev/vda
    ");
}

#[test]
fn the_cpio_archive_is_padded_and_ends_as_the_format_says() {
    let archive = cpio();
    assert_eq!(archive.len() % 4, 0);
    assert!(archive.starts_with(b"07070100000001"), "inode numbers begin at 1");
    let end = archive.windows(10).position(|window| window == b"TRAILER!!!").unwrap();
    assert!(archive[end + 10..].iter().all(|byte| *byte == 0) && archive.len() - end < 15);
    let three = archive.windows(4).position(|window| window == b"123\0").unwrap();
    assert_eq!(three % 4, 0, "content begins at a multiple of four");
    assert_eq!(&archive[three + 4..three + 10], b"070701");
    assert_eq!(archive, cpio());
}

#[test]
fn impossible_cpio_names_are_refused() {
    for name in ["", "/", "a\0b"] {
        assert!(CpioWriter::new(Vec::new(), 0).file(name, 0, b"").is_err(), "{name:?}");
    }
}

//! Kernels that are one file: from an address, and of this machine.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use smolvm_build::FailureClass;
use smolvm_packages::test_deb::{TestCompression, TestDeb};

use crate::archive::{Small, assert_fails, build_with, impatient};
use crate::mirror::{Fault, Mirror};
use crate::support::{Project, debian_host, has};

/// What QEMU takes for a kernel at first sight. It is another one in each run: the download cache stays.
fn kernel() -> Vec<u8> {
    static MADE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut bytes = vec![7; 1_000_000];
        bytes[..16].copy_from_slice(&SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_le_bytes());
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes
    });
    MADE.clone()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A project with this kernel, whose packages take longer to arrive than any kernel.
fn project(small: &Small, kernel: &str) -> Project {
    small.mirror.fail("/subject_", Fault::Leisurely);
    let project = small.project();
    let path = project.path().join("Smolfile.yaml");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, format!("{text}arch: amd64\nkernel: {kernel}\n")).unwrap();
    project
}

fn small() -> Small {
    let subject = TestDeb::new("subject", "1.0").file("./subject", &"x".repeat(500_000));
    Small::new(&subject.compression(TestCompression::None))
}

#[test]
fn every_fault_of_an_address_is_told() {
    let (small, folder) = (small(), tempfile::tempdir().unwrap());
    fs_err::write(folder.path().join("vmlinux"), kernel()).unwrap();
    let mirror = Mirror::start(folder.path());
    let address = format!("{}/vmlinux", mirror.address());
    let project = project(&small, &format!("{{url: \"{address}\", sha256: {}}}", digest(&kernel())));
    for (fault, reason) in [
        (Fault::Status("404 Not Found"), "it answered 404 Not Found"),
        (Fault::Silent, "no answer within 500ms"),
        (Fault::Cut, "the connection broke"),
        (Fault::Changed, "is not what was expected"),
    ] {
        let mut options = impatient(&project);
        options.cache_dir = project.path().join(format!("cache {fault:?}"));
        mirror.fail("vmlinux", fault);
        assert_fails(&format!("{fault:?}"), &options, FailureClass::Build, &["the kernel", mirror.address(), reason]);
    }
}

#[test]
fn a_kernel_of_another_kind_is_refused() {
    let small = small();
    let arm = {
        let mut bytes = vec![0; 4096];
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes
    };
    for (bytes, reason) in [
        (b"<!DOCTYPE html>".to_vec(), "this file is no kernel"),
        (arm, "this kernel is for arm64, and the image is for amd64"),
    ] {
        let project = project(&small, "{path: ../kernel}");
        fs_err::write(project.path().join("../kernel"), &bytes).unwrap();
        assert_fails(reason, &impatient(&project), FailureClass::Input, &[reason]);
    }
}

#[test]
fn a_kernel_is_fetched_once_goes_on_where_it_was_cut_and_needs_no_initrd() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("vmlinux"), kernel()).unwrap();
    let mirror = Mirror::start(folder.path());
    let smolfile = |name: &str| {
        let (address, sha256) = (mirror.address(), digest(&kernel()));
        format!(
            "name: {name}\nbase: debian:bookworm\narch: amd64\nsize: auto\nssh: false\nkernel: {{url: \"{address}/vmlinux\", sha256: {sha256}}}\n"
        )
    };
    let project = Project::new(&smolfile("first"));
    let mut options = project.options();
    options.retries.attempts = 1;
    mirror.fail("vmlinux", Fault::Cut);
    assert_fails("cut", &options, FailureClass::Build, &["the kernel", "the connection broke"]);

    mirror.repair("vmlinux");
    let image = build_with(&options).unwrap();
    assert_eq!(fs_err::read(&image.kernel).unwrap(), kernel());
    assert_eq!(image.initrd, None);
    let lock = fs_err::read_to_string(options.lock_path()).unwrap();
    assert!(
        lock.contains("    kernel:\n      from: \"url\"\n      sha256:") && !lock.contains("linux-image"),
        "{lock}"
    );

    // Another image has it from the download cache.
    mirror.fail("vmlinux", Fault::Status("503 Service Unavailable"));
    fs_err::write(&options.smolfile, smolfile("second")).unwrap();
    assert_eq!(fs_err::read(build_with(&options).unwrap().kernel).unwrap(), kernel());

    // There, a file that was cut short is none. Without the cache of layers, in which the kernel is by now.
    options.cache = smolvm_build::CacheUse::Refresh;
    let kept = walkdir::WalkDir::new(&options.cache_dir).into_iter().flatten();
    let kept: Vec<_> = kept.filter(|entry| entry.file_name().to_str() == Some(&digest(&kernel()))).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    fs_err::remove_file(kept[0].path()).unwrap();
    fs_err::write(kept[0].path(), &kernel()[..1000]).unwrap();
    fs_err::write(&options.smolfile, smolfile("third")).unwrap();
    let error = build_with(&options).unwrap_err();
    assert!(crate::archive::report(&error).contains("503 Service Unavailable"), "{error}");
    mirror.repair("vmlinux");
    assert_eq!(fs_err::read(build_with(&options).unwrap().kernel).unwrap(), kernel());
}

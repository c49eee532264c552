//! What every test needs.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smolvm_manifest::Arch;
use smolvm_store::{BlobRecord, BuildKey, Image, ImageRecord, LayerRecord, Reproducible, Store};
use tempfile::TempDir;

pub(crate) fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("images dir")).unwrap();
    (folder, store)
}

/// A key of 64 times the same digit.
pub(crate) fn key(digit: char) -> BuildKey {
    digit.to_string().repeat(64).parse().unwrap()
}

pub(crate) fn created() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Writes an image's files into a folder and describes them.
pub(crate) fn write(folder: &Path, name: &str, key: &BuildKey, rootfs: &[u8]) -> ImageRecord {
    fs_err::write(folder.join(BlobRecord::KERNEL), b"a kernel").unwrap();
    fs_err::write(folder.join(BlobRecord::INITRD), b"an initrd").unwrap();
    fs_err::write(folder.join(BlobRecord::ROOTFS), rootfs).unwrap();
    let blob = |file| BlobRecord::of(folder, file).unwrap();
    ImageRecord {
        format: ImageRecord::FORMAT,
        name: name.to_owned(),
        key: key.to_string(),
        arch: Arch::Amd64,
        base: "debian:bookworm".to_owned(),
        boot_args: "console=ttyS0 root=/dev/vda rw init=/init quiet".to_owned(),
        extra_boot_args: vec!["quiet".to_owned()],
        ssh: true,
        kernel: blob(BlobRecord::KERNEL),
        initrd: Some(blob(BlobRecord::INITRD)),
        rootfs: blob(BlobRecord::ROOTFS),
        disk_bytes: 4096,
        reproducible: Reproducible::Unproven { steps: vec!["npm install".to_owned()] },
        kernel_source: "distro".to_owned(),
        packages: 149,
        layers: vec![LayerRecord {
            name: smolvm_manifest::Layer::Base,
            key: "0f".repeat(32),
            inputs: smolvm_manifest::LayerInputs::default(),
        }],
    }
}

pub(crate) fn build(store: &Store, name: &str, key: &BuildKey) -> Image {
    let lock = store.lock(key).unwrap();
    let staging = store.stage(&lock).unwrap();
    let record = write(staging.path(), name, key, b"a root file system");
    staging.commit(&record, false, created()).unwrap()
}

/// Lets a file of the store be changed, which its mode forbids.
pub(crate) fn overwrite(path: &Path, content: &[u8]) {
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, content).unwrap();
}

/// Starts this test binary again, to do what the test `name` does when `SMOLVM_TEST_CHILD` is set.
pub(crate) fn child(name: &str, folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(CHILD, folder);
    command
}

/// The folder that a child works in; `None` in the test itself.
pub(crate) fn child_folder() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

const CHILD: &str = "SMOLVM_TEST_CHILD";

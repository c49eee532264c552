use std::mem::forget;
use std::time::UNIX_EPOCH;

use smolvm_manifest::Arch;

use crate::record::{BlobRecord, Reproducible};

use super::*;

/// A store in which a build of `key` stopped, as if by kill -9, after `steps` of a commit.
fn interrupted_after(steps: usize) -> (tempfile::TempDir, Store, BuildKey) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let key: BuildKey = "ab".repeat(32).parse().unwrap();
    let lock = store.lock(&key).unwrap();
    let mut staging = store.stage(&lock).unwrap();
    let record = write(&staging, &key);
    if steps >= 1 {
        staging.seal(&record).unwrap();
    }
    if steps >= 2 {
        staging.publish().unwrap();
    }
    forget(staging);
    drop(lock);
    (folder, store, key)
}

fn write(staging: &Staging<'_>, key: &BuildKey) -> ImageRecord {
    let folder = staging.path();
    fs_err::write(folder.join(BlobRecord::KERNEL), b"kernel").unwrap();
    fs_err::write(folder.join(BlobRecord::ROOTFS), b"root file system").unwrap();
    ImageRecord {
        format: ImageRecord::FORMAT,
        name: "dev".to_owned(),
        key: key.to_string(),
        arch: Arch::Amd64,
        base: "debian:bookworm".to_owned(),
        boot_args: String::new(),
        extra_boot_args: Vec::new(),
        ssh: true,
        kernel: BlobRecord::of(folder, BlobRecord::KERNEL).unwrap(),
        initrd: None,
        rootfs: BlobRecord::of(folder, BlobRecord::ROOTFS).unwrap(),
        disk_bytes: 4096,
        reproducible: Reproducible::Proven,
        kernel_source: "distro".to_owned(),
        packages: 1,
        layers: Vec::new(),
    }
}

fn build(store: &Store, key: &BuildKey) -> Image {
    let lock = store.lock(key).unwrap();
    let staging = store.stage(&lock).unwrap();
    let record = write(&staging, key);
    staging.commit(&record, false, UNIX_EPOCH).unwrap()
}

#[test]
fn before_the_rename_there_is_nothing_to_see_and_the_next_build_cleans_up() {
    for steps in [0, 1] {
        let (_folder, store, key) = interrupted_after(steps);
        assert!(store.lookup(&key).unwrap().is_none());
        assert!(store.list().unwrap().is_empty());
        assert_eq!(entries(&store.staging_root()).unwrap().len(), 1);

        build(&store, &key);
        assert_eq!(store.find("dev").unwrap().key(), &key);
        assert!(entries(&store.staging_root()).unwrap().is_empty());
    }
}

#[test]
fn after_the_rename_the_image_is_whole_and_only_its_name_is_missing() {
    let (_folder, store, key) = interrupted_after(2);
    let image = store.lookup(&key).unwrap().unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
    assert!(matches!(store.find("dev"), Err(StoreError::NoSuchImage { .. })));
    store.name(&image, "dev", UNIX_EPOCH).unwrap();
    assert_eq!(store.find("dev").unwrap().key(), &key);
}

#[test]
fn a_damaged_image_that_was_just_moved_aside_is_a_miss() {
    let (_folder, store, key) = interrupted_after(2);
    fs_err::rename(store.image_path(&key), store.fresh_folder(&key)).unwrap();
    assert!(store.lookup(&key).unwrap().is_none());
    build(&store, &key);
    assert!(entries(&store.staging_root()).unwrap().is_empty());
}

#[test]
fn what_another_key_left_is_removed_unless_somebody_works_on_it() {
    let (_folder, store, key) = interrupted_after(1);
    let other: BuildKey = "cd".repeat(32).parse().unwrap();
    let busy = store.lock(&key).unwrap();
    build(&store, &other);
    assert_eq!(entries(&store.staging_root()).unwrap().len(), 1, "its builder may be alive");
    drop(busy);
    let lock = store.lock(&other).unwrap();
    let staging = store.stage(&lock).unwrap();
    assert_eq!(entries(&store.staging_root()).unwrap(), [staging.path().file_name().unwrap().to_str().unwrap()]);
}

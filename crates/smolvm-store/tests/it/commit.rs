//! Putting images in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use smolvm_store::{Store, StoreError};

use crate::support::{build, created, key, overwrite, store, write};

#[test]
fn what_is_not_what_its_record_says_does_not_get_in() {
    let (_folder, store) = store();
    let lock = store.lock(&key('a')).unwrap();
    for spoil in ["missing", "short", "other key"] {
        let staging = store.stage(&lock).unwrap();
        let mut record = write(staging.path(), "dev", &key('a'), b"a root file system");
        match spoil {
            "missing" => fs_err::remove_file(staging.path().join("kernel")).unwrap(),
            "short" => fs_err::write(staging.path().join("rootfs.ext4"), b"a root").unwrap(),
            _ => record.key = key('b').to_string(),
        }
        let error = staging.commit(&record, false, created()).unwrap_err();
        assert!(matches!(error, StoreError::Incomplete { .. }), "{spoil}: {error:?}");
        assert!(store.list().unwrap().is_empty());
    }
    assert_eq!(fs_err::read_dir(store.root().join("staging")).unwrap().count(), 0, "what failed is thrown away");
}

#[test]
fn a_name_that_is_none_is_refused() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    let too_long = "a".repeat(129);
    for name in ["", "../x", "a/b", ".hidden", "-x", "Dev", "a b", "ä", &too_long] {
        let error = store.name(&image, name, created()).unwrap_err();
        assert!(matches!(error, StoreError::BadName { .. }), "{name}");
    }
    store.name(&image, "a.b_c-9", created()).unwrap();
}

#[test]
fn builders_of_one_key_take_turns_and_build_it_once() {
    let (_folder, store) = store();
    let builds = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = Store::open(store.root()).unwrap();
                let lock = store.lock(&key('a')).unwrap();
                if store.lookup(&key('a')).unwrap().is_none() {
                    builds.fetch_add(1, Ordering::SeqCst);
                    let staging = store.stage(&lock).unwrap();
                    let record = write(staging.path(), "dev", &key('a'), b"a root file system");
                    thread::sleep(std::time::Duration::from_millis(20));
                    staging.commit(&record, false, created()).unwrap();
                }
            });
        }
    });
    assert_eq!(builds.into_inner(), 1);
}

#[test]
fn one_key_is_built_by_one_at_a_time_and_others_do_not_wait() {
    let (_folder, store) = store();
    let lock = store.lock(&key('a')).unwrap();
    assert!(store.try_lock(&key('a')).unwrap().is_none());
    assert!(store.try_lock(&key('b')).unwrap().is_some());
    drop(lock);
    assert!(store.try_lock(&key('a')).unwrap().is_some());
}

#[test]
fn an_image_in_use_is_not_replaced_by_another_build_of_its_key() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    let before = fs_err::metadata(image.rootfs()).unwrap();
    let again = build(&store, "other", &key('a'));
    let after = fs_err::metadata(again.rootfs()).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&before), std::os::unix::fs::MetadataExt::ino(&after));
    assert_eq!(store.find("other").unwrap().key(), &key('a'));
}

#[test]
fn what_killed_builds_were_putting_together_is_swept_away() {
    let (_folder, store) = store();
    let running = store.lock(&key('a')).unwrap();
    let being_made = store.stage(&running).unwrap();
    fs_err::write(being_made.path().join("kernel"), "half").unwrap();
    let left = store.root().join("staging").join(format!("{}.99999.1", key('b')));
    fs_err::create_dir(&left).unwrap();
    fs_err::write(left.join("rootfs.ext4"), "half").unwrap();
    assert_eq!(store.sweep_staging().unwrap(), 1);
    assert!(!left.exists());
    assert!(being_made.path().join("kernel").exists(), "a running build lost its files");
}

#[test]
fn an_unpacked_kernel_is_kept_beside_the_image_and_compared() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    let path = store.keep_unpacked_kernel(&image, b"an ELF").unwrap();
    assert_eq!(path.parent(), Some(image.folder()));
    overwrite(&path, b"something else");
    assert_eq!(store.keep_unpacked_kernel(&image, b"an ELF").unwrap(), path);
    assert_eq!(fs_err::read(&path).unwrap(), b"an ELF");
    assert!(store.lookup(&key('a')).unwrap().is_some(), "the image is still whole");
    drop(image);
    store.remove("dev").unwrap();
    assert!(!path.exists());
}

//! Taking images out.

use std::thread;
use std::time::Duration;

use smolvm_store::{Store, StoreError};

use crate::support::{build, created, key, overwrite, store};

#[test]
fn an_image_goes_with_its_name_and_its_lock() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    let removed = store.remove("dev").unwrap();
    assert_eq!((removed.names, removed.key, removed.kept_for), (vec!["dev".to_owned()], key('a'), Vec::new()));
    assert!(removed.freed_bytes > 0);
    assert!(store.lookup(&key('a')).unwrap().is_none() && store.list().unwrap().is_empty());
    for folder in ["images", "index", "staging"] {
        assert_eq!(fs_err::read_dir(store.root().join(folder)).unwrap().count(), 0, "{folder}");
    }
    assert!(!store.root().join("locks").join(key('a').as_str()).exists());
    assert!(matches!(store.remove("dev"), Err(StoreError::NoSuchImage { .. })));
    build(&store, "dev", &key('a'));
}

#[test]
fn an_image_with_another_name_stays() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    store.name(&image, "prod", created()).unwrap();
    let removed = store.remove("dev").unwrap();
    assert_eq!((removed.kept_for, removed.freed_bytes), (vec!["prod".to_owned()], 0));
    assert!(store.find("prod").is_ok() && store.find("dev").is_err());
    drop(image);

    store.name(&store.find("prod").unwrap(), "dev", created()).unwrap();
    assert_eq!(store.remove("aaaa").unwrap().names, ["dev", "prod"], "by key, all of it goes");
    assert!(store.lookup(&key('a')).unwrap().is_none());
}

#[test]
fn an_image_in_use_is_refused_and_nothing_changes() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    let clone = image.clone();
    drop(image);
    let error = Store::open(store.root()).unwrap().remove("dev").unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    assert!(store.find("dev").is_ok());
    drop(clone);
    store.remove("dev").unwrap();
}

#[test]
fn an_image_that_is_being_built_is_refused() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    let lock = store.lock(&key('a')).unwrap();
    assert!(matches!(store.remove("dev"), Err(StoreError::InUse { .. })));
    drop(lock);
    store.remove("dev").unwrap();
}

#[test]
fn a_passing_look_is_no_use() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    let look = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(image);
    });
    store.remove("dev").unwrap();
    look.join().unwrap();
}

#[test]
fn a_damaged_image_and_a_name_without_one_can_be_removed() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    overwrite(&image.folder().join("image.json"), b"");
    drop(image);
    store.remove("dev").unwrap();

    let folder = build(&store, "dev", &key('a')).folder().to_owned();
    fs_err::remove_dir_all(folder).unwrap();
    assert!(matches!(store.find("dev"), Err(StoreError::Damaged { .. })));
    assert_eq!(store.remove("dev").unwrap().names, ["dev"]);
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn whoever_waited_for_the_lock_of_a_removed_image_has_a_lock_that_counts() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    for _ in 0..20 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let lock = store.lock(&key('a')).unwrap();
                    assert!(store.try_lock(&key('a')).unwrap().is_none(), "two have the right to build");
                    drop(lock);
                });
            }
            scope.spawn(|| match store.remove("dev") {
                Ok(_) | Err(StoreError::InUse { .. } | StoreError::NoSuchImage { .. }) => {}
                Err(error) => panic!("{error:?}"),
            });
        });
        build(&store, "dev", &key('a'));
    }
}

//! What counts as an image, and what does not.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use smolvm_store::{Store, StoreError};

use crate::support::{build, key, overwrite, store};

#[test]
fn what_was_built_is_found_again() {
    let (_folder, store) = store();
    assert!(store.lookup(&key('a')).unwrap().is_none());
    build(&store, "dev", &key('a'));
    let image = Store::open(store.root()).unwrap().lookup(&key('a')).unwrap().unwrap();
    assert_eq!(fs_err::read(image.kernel()).unwrap(), b"a kernel");
    assert_eq!(fs_err::read(image.initrd().unwrap()).unwrap(), b"an initrd");
    assert_eq!(fs_err::read(image.rootfs()).unwrap(), b"a root file system");
    assert_eq!((image.record().packages, image.record().name.as_str()), (149, "dev"));
}

#[test]
fn files_are_read_only_and_the_owner_can_remove_the_folder() {
    let (folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    let mut files = 0;
    for entry in fs_err::read_dir(image.folder()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o444);
        files += 1;
    }
    assert_eq!(files, 4);
    fs_err::remove_dir_all(folder.path()).unwrap();
}

#[test]
fn a_missing_short_or_long_file_is_a_miss_that_the_next_build_repairs() {
    for file in ["kernel", "initrd", "rootfs.ext4", "image.json"] {
        for damage in [None, Some(&b""[..]), Some(b"short"), Some(&[b'x'; 4096])] {
            let (_folder, store) = store();
            let path = build(&store, "dev", &key('a')).folder().join(file);
            match damage {
                None => fs_err::remove_file(&path).unwrap(),
                Some(content) => overwrite(&path, content),
            }
            assert!(store.lookup(&key('a')).unwrap().is_none(), "{file} {damage:?}");
            let error = store.find("dev").unwrap_err();
            assert!(matches!(&error, StoreError::Damaged { .. }) && error.to_string().contains(file), "{error}");

            build(&store, "dev", &key('a'));
            let image = store.find("dev").unwrap();
            assert!(store.verify(&image).unwrap().is_empty());
        }
    }
}

#[test]
fn a_record_of_something_else_is_a_miss() {
    let (_folder, store) = store();
    let path = build(&store, "dev", &key('a')).folder().join("image.json");
    let text = fs_err::read_to_string(&path).unwrap();
    let other_key = key('b').to_string();
    let changes = [
        (key('a').as_str().to_owned(), other_key.as_str()),
        ("\"format\": 2".to_owned(), "\"format\": 3"),
        ("\"file\": \"kernel\"".to_owned(), "\"file\": \"../../../VERSION\""),
        ("\"packages\"".to_owned(), "\"unknown\""),
    ];
    for (from, to) in changes {
        let other = text.replace(&from, to);
        assert_ne!(other, text);
        overwrite(&path, other.as_bytes());
        assert!(store.lookup(&key('a')).unwrap().is_none(), "{to}");
    }
    overwrite(&path, text.as_bytes());
    assert!(store.lookup(&key('a')).unwrap().is_some());
}

#[test]
fn a_link_in_place_of_a_file_is_a_miss() {
    let (folder, store) = store();
    let path = build(&store, "dev", &key('a')).rootfs();
    let elsewhere = folder.path().join("elsewhere");
    fs_err::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(store.lookup(&key('a')).unwrap().is_none());
}

#[test]
fn changed_content_of_the_same_size_is_found_by_verify() {
    let (_folder, store) = store();
    let image = build(&store, "dev", &key('a'));
    assert!(store.verify(&image).unwrap().is_empty());
    overwrite(&image.rootfs(), b"A root file system");
    let damages = store.verify(&store.lookup(&key('a')).unwrap().unwrap()).unwrap();
    assert_eq!(damages.iter().map(|damage| damage.file.as_str()).collect::<Vec<_>>(), ["rootfs.ext4"]);
}

#[test]
fn the_record_says_nothing_of_time_and_place_and_repeats() {
    let texts = [(); 2].map(|()| {
        let (_folder, store) = store();
        let image = build(&store, "dev", &key('a'));
        fs_err::read_to_string(image.folder().join("image.json")).unwrap()
    });
    assert_eq!(texts[0], texts[1]);
    assert!(!texts[0].contains("1700000000") && !texts[0].contains("images dir"), "{}", texts[0]);
}

#[test]
fn a_lookup_is_quick() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    let mut times: Vec<_> = (0..101)
        .map(|_| {
            let start = Instant::now();
            assert!(Store::open(store.root()).unwrap().lookup(&key('a')).unwrap().is_some());
            start.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[50] < Duration::from_millis(2), "{:?}", times[50]);
}

#[test]
fn a_store_that_only_others_may_write_can_be_read() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    let before = tree(store.root());
    let store = Store::open(store.root()).unwrap();
    assert!(store.lookup(&key('a')).unwrap().is_some());
    assert!(store.lookup(&key('b')).unwrap().is_none());
    assert!(store.find("dev").is_ok() && store.list().unwrap().len() == 1);
    assert_eq!(tree(store.root()), before, "looking changes nothing");
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let (_folder, store) = store();
    fs_err::write(store.root().join("VERSION"), "smolvm-store 2\n").unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(matches!(&error, StoreError::Version { found, .. } if found == "smolvm-store 2"), "{error:?}");
    assert!(error.is_host_fault());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let (folder, _store) = store();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = Store::open(file.join("store")).unwrap_err();
    assert!(error.is_host_fault() && error.to_string().contains("file/store"), "{error}");
}

type Open = fn(PathBuf) -> Result<Store, StoreError>;

#[test]
fn a_folder_of_other_things_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let documents = folder.path().join("Documents");
    fs_err::create_dir_all(documents.join("letters")).unwrap();
    fs_err::write(documents.join("letters/1"), "dear reader").unwrap();
    fs_err::write(documents.join("taxes"), "1").unwrap();
    let before = tree(&documents);
    for open in [Store::open as Open, Store::open_existing] {
        let error = open(documents.clone()).unwrap_err();
        assert!(matches!(&error, StoreError::NotAStore { stranger, .. } if stranger == "letters"), "{error:?}");
        assert!(error.is_input_fault() && !error.is_host_fault());
    }
    assert_eq!(tree(&documents), before);
}

#[test]
fn looking_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("images");
    for root in [missing.clone(), folder.path().to_owned()] {
        let store = Store::open_existing(&root).unwrap();
        assert!(store.list().unwrap().is_empty());
        assert!(matches!(store.find("dev"), Err(StoreError::NoSuchImage { .. })));
        assert!(matches!(store.remove("dev"), Err(StoreError::NoSuchImage { .. })));
        assert!(store.lookup(&key('a')).unwrap().is_none());
    }
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_store_that_another_process_is_just_making_is_none_of_other_things() {
    let (_folder, store) = store();
    let made = build(&store, "dev", &key('a'));
    // Its VERSION under its temporary name, or not yet seen by the listing of the folder.
    let version = store.root().join("VERSION");
    fs_err::rename(&version, store.root().join(".new-x1y2z3")).unwrap();
    fs_err::create_dir(store.root().join("lost+found")).unwrap();
    for open in [Store::open_existing as Open, Store::open] {
        assert_eq!(open(store.root().to_owned()).unwrap().find("dev").unwrap().key(), made.key());
    }
    assert_eq!(fs_err::read_to_string(&version).unwrap(), "smolvm-store 1\n");
}

#[test]
fn many_that_make_the_same_store_at_once_all_have_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let root = folder.path().join(round.to_string());
        // An empty folder, as somebody may have made it, and none at all.
        if round % 2 == 0 {
            fs_err::create_dir(&root).unwrap();
        }
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|maker| {
                    let (start, root) = (&start, &root);
                    scope.spawn(move || {
                        start.wait();
                        let digit = char::from_digit(maker, 16).unwrap();
                        build(&Store::open(root).unwrap(), &format!("image-{maker}"), &key(digit));
                    })
                })
                .collect();
            for maker in makers {
                maker.join().unwrap();
            }
        });
        assert_eq!(Store::open(&root).unwrap().list().unwrap().len(), 8);
    }
}

fn tree(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(tree(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

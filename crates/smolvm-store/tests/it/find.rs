//! Finding images by what people type.

use smolvm_store::StoreError;

use crate::support::{build, created, key, overwrite, store};

#[test]
fn by_name_by_key_and_by_the_beginning_of_a_key() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    build(&store, "test", &key('b'));
    for asked in ["dev", "aaaa", "AAAAAA", &"a".repeat(64)] {
        assert_eq!(store.find(asked).unwrap().key(), &key('a'), "{asked}");
    }
    for asked in ["aaa", "", "cccc", &"a".repeat(65), "../index/dev"] {
        assert!(matches!(store.find(asked), Err(StoreError::NoSuchImage { .. })), "{asked}");
    }
}

#[test]
fn a_name_comes_before_a_key_that_begins_like_it() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    build(&store, "aaaa", &key('b'));
    assert_eq!(store.find("aaaa").unwrap().key(), &key('b'));
}

#[test]
fn several_keys_that_begin_alike_are_named() {
    let (_folder, store) = store();
    let second = format!("{}{}", "a".repeat(10), "b".repeat(54)).parse().unwrap();
    build(&store, "dev", &key('a'));
    build(&store, "test", &second);
    let error = store.find("aaaa").unwrap_err();
    assert_eq!(error.to_string(), "`aaaa` is the beginning of 2 keys: aaaaaaaaaaaa (dev), aaaaaaaaaabb (test)");
    assert_eq!(store.find("aaaaaaaaaaa").unwrap().key(), &key('a'));
}

#[test]
fn a_slip_of_the_pen_is_understood() {
    let (_folder, store) = store();
    build(&store, "team-dev", &key('a'));
    build(&store, "database", &key('b'));
    let error = store.find("team-dvé").unwrap_err();
    assert!(matches!(&error, StoreError::NoSuchImage { similar, .. } if similar == &["team-dev"]), "{error:?}");
    assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "did you mean `team-dev`?");
    let error = store.find("xyz").unwrap_err();
    assert!(matches!(&error, StoreError::NoSuchImage { similar, .. } if similar.is_empty()), "{error:?}");
}

#[test]
fn a_listing_shows_names_then_the_nameless_and_what_is_wrong() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    // The name moves on to a newer image; the older one stays.
    build(&store, "dev", &key('b'));
    let image = build(&store, "test", &key('c'));
    store.name(&image, "again", created()).unwrap();
    overwrite(&image.rootfs(), b"short");
    fs_err::write(store.root().join("index/broken"), "{").unwrap();
    fs_err::write(store.root().join("images/lost+found"), "").unwrap();
    let shown: Vec<_> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|listed| {
            let state = listed.state.map_or_else(|damage| damage, |record| record.base);
            let name = listed.name.unwrap_or("-".to_owned());
            let is_dated = listed.created == Some(created());
            format!("{name} {} {is_dated} {state}", &listed.key.as_str()[..4])
        })
        .collect();
    assert_eq!(
        shown,
        [
            "again cccc true rootfs.ext4 has 5 bytes instead of 18",
            "dev bbbb true debian:bookworm",
            "test cccc true rootfs.ext4 has 5 bytes instead of 18",
            "- aaaa false debian:bookworm",
        ]
    );
}

/// Somebody else's, or a slip of the hand.
#[test]
fn what_is_no_entry_of_the_index_hides_nothing() {
    let (_folder, store) = store();
    build(&store, "dev", &key('a'));
    let index = store.root().join("index");
    fs_err::create_dir(index.join("folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, index.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", index.join("link")).unwrap();
    fs_err::write(index.join("garbage"), "garbage").unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.find("dev").unwrap().key(), &key('a'));
    assert!(matches!(store.find("folder"), Err(StoreError::NoSuchImage { .. })));
}

//! kill -9 in the middle of commits: whatever is there afterwards is whole.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use smolvm_store::{BuildKey, Store};

use crate::support::{build, child, child_folder, created, store, write};

/// Long enough that kills fall into writing, syncing and renaming alike.
const ROOTFS: usize = 300_000;

#[test]
fn a_build_that_is_killed_leaves_a_whole_image_or_none() {
    if let Some(folder) = child_folder() {
        return build_for_ever(&Store::open(folder).unwrap());
    }
    let (_folder, store) = store();
    let mut whole = 0;
    for round in 0..25_u64 {
        let mut child = child("kill::a_build_that_is_killed_leaves_a_whole_image_or_none", store.root())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_micros(15_000 + round * 2_700));
        child.kill().unwrap();
        child.wait().unwrap();
        whole += check(&store);
    }
    assert!(whole > 0, "no build came to an end: the test tests nothing");
    // The next build works, and cleans up.
    build(&store, "after", &key(u64::MAX));
    assert_eq!(fs_err::read_dir(store.root().join("staging")).unwrap().count(), 0);
}

/// Builds one image after the other, and damages each, so that replacing is interrupted too.
fn build_for_ever(store: &Store) {
    for number in 0.. {
        let key = key(number % 7);
        let lock = store.lock(&key).unwrap();
        let staging = store.stage(&lock).unwrap();
        let rootfs = number.to_le_bytes().repeat(ROOTFS / 8);
        let record = write(staging.path(), &format!("image{}", number % 7), &key, &rootfs);
        let image = staging.commit(&record, false, created()).unwrap();
        if number % 3 == 0 {
            fs_err::remove_file(image.kernel()).unwrap();
        }
    }
}

/// Every image that is shown as whole is whole to the last byte, and every other one is a miss by its own doing.
fn check(store: &Store) -> usize {
    let mut whole = 0;
    for listed in store.list().unwrap() {
        match listed.state {
            Ok(_) => {
                let image = store.lookup(&listed.key).unwrap().unwrap();
                assert!(store.verify(&image).unwrap().is_empty());
                whole += 1;
            }
            Err(damage) => assert!(damage == "kernel is missing" || damage == "its folder is gone", "{damage}"),
        }
    }
    whole
}

fn key(number: u64) -> BuildKey {
    format!("{number:016x}").repeat(4).parse().unwrap()
}

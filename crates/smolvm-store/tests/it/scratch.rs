//! Work folders, and what killed builds leave of them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use smolvm_store::Store;

use crate::support::{child, child_folder, store};

fn remove(path: &Path) -> std::io::Result<()> {
    fs_err::remove_dir_all(path)
}

#[test]
fn a_closed_work_folder_leaves_nothing() {
    let (_folder, store) = store();
    let (one, two) = (store.scratch().unwrap(), store.scratch().unwrap());
    assert_ne!(one.path(), two.path());
    fs_err::write(one.path().join("file"), "x").unwrap();
    one.close(remove).unwrap();
    two.close(remove).unwrap();
    assert_eq!(fs_err::read_dir(store.root().join("scratch")).unwrap().count(), 0);
}

#[test]
fn a_work_folder_in_use_is_not_swept_and_a_forgotten_one_is() {
    let (_folder, store) = store();
    let (used, forgotten) = (store.scratch().unwrap(), store.scratch().unwrap());
    let path = forgotten.path().to_owned();
    drop(forgotten);
    let mut seen = Vec::new();
    let swept = store
        .sweep_scratch(|path| {
            seen.push(path.to_owned());
            remove(path)
        })
        .unwrap();
    assert_eq!((seen, swept.removed), (vec![path], 1));
    assert!(used.path().exists());
    assert_eq!(store.sweep_scratch(|_| panic!("nothing is left to remove")).unwrap().removed, 0);
}

#[test]
fn what_cannot_be_removed_now_is_tried_again() {
    let (_folder, store) = store();
    let path = store.scratch().unwrap().path().to_owned();
    let swept = store.sweep_scratch(|_| Err(std::io::Error::other("busy"))).unwrap();
    assert_eq!((swept.removed, swept.failed.len()), (0, 1));
    let swept = store.sweep_scratch(|_| Ok(())).unwrap();
    assert_eq!((swept.removed, swept.failed.len()), (0, 1), "a callback that removes nothing is not believed");
    assert!(path.exists());
    assert_eq!(store.sweep_scratch(remove).unwrap().removed, 1);
}

#[test]
fn the_work_folder_of_a_killed_build_is_found() {
    if let Some(folder) = child_folder() {
        let scratch = Store::open(folder).unwrap().scratch().unwrap();
        fs_err::write(scratch.path().join("file"), "x").unwrap();
        println!("\nready");
        std::thread::sleep(std::time::Duration::from_mins(1));
        return;
    }
    let (_folder, store) = store();
    let mut child = child("scratch::the_work_folder_of_a_killed_build_is_found", store.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    assert_eq!(store.sweep_scratch(remove).unwrap().removed, 0, "it lives");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.sweep_scratch(remove).unwrap().removed, 1);
}

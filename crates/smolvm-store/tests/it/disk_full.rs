//! A full disk, which takes a file system of its own: this test binary starts itself again in namespaces where it may mount one.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use smolvm_store::{Store, StoreError};

use crate::support::{build, child, child_folder, created, key, write};

#[test]
fn a_full_disk_has_an_error_of_its_own_and_leaves_the_store_as_it_was() {
    if let Some(folder) = child_folder() {
        return on_a_small_disk(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let inner = child("disk_full::a_full_disk_has_an_error_of_its_own_and_leaves_the_store_as_it_was", folder.path());
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(folder.path());
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    match outer.output() {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the test inside was not found");
        }
        Ok(output)
            if output.status.code() == Some(77) || String::from_utf8_lossy(&output.stderr).contains("unshare") =>
        {
            eprintln!("skipped: this host lets nobody mount a file system in a user namespace");
        }
        Ok(output) => panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("skipped: unshare cannot be run ({error})"),
    }
}

fn on_a_small_disk(folder: &Path) {
    let store = Store::open(folder).unwrap();
    build(&store, "dev", &key('a'));
    let lock = store.lock(&key('b')).unwrap();
    let staging = store.stage(&lock).unwrap();
    let record = write(staging.path(), "next", &key('b'), b"a root file system");
    let filler = folder.join("filler");
    fill(&filler);

    let error = staging.commit(&record, false, created()).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }) && error.is_host_fault(), "{error:?}");
    assert!(store.lookup(&key('b')).unwrap().is_none());
    assert_eq!(store.list().unwrap().len(), 1, "and the image before it is untouched");

    // A name needs room too; the image stays without it.
    let image = store.find("dev").unwrap();
    fill(&filler);
    assert!(matches!(store.name(&image, "other", created()), Err(StoreError::DiskFull { .. })));
    fs_err::remove_file(&filler).unwrap();
    drop(lock);
    build(&store, "next", &key('b'));
    assert_eq!(store.list().unwrap().len(), 2);
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs_err::File::options().create(true).append(true).open(path).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}

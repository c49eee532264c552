//! Resolving again: what is taken from memory, what from the disk, and that neither changes an answer.

use std::path::PathBuf;

use smolvm_build::{BuildError, BuildOptions, Events, LockUpdate, Memory, lock};
use smolvm_packages::test_deb::TestDeb;

use crate::archive::{Small, impatient, names};
use crate::mirror::Fault;
use crate::support::{Project, runtime};

/// What the address of every package index has in it.
const INDEXES: &str = "/binary-";

fn archive() -> Small {
    let mut small = Small::new(&TestDeb::new("subject", "1.0"));
    small.publish(&TestDeb::new("other", "2").field("Depends", "subject"));
    small
}

fn gone(small: &Small) {
    small.mirror.fail(INDEXES, Fault::Status("404 Not Found"));
}

/// Resolves everything anew; gives the text of the lock.
fn locked(options: &BuildOptions) -> Result<String, BuildError> {
    runtime().block_on(lock(options, &LockUpdate::Everything, &Events::silent()))?;
    Ok(fs_err::read_to_string(options.lock_path()).unwrap())
}

/// The same Smolfile with other packages, under another name.
fn with_packages(project: &Project, file: &str, packages: &str) -> BuildOptions {
    let text = fs_err::read_to_string(project.path().join("Smolfile.yaml")).unwrap();
    let text = text.replace("[subject]", packages).replace("name: faulty", &format!("name: {file}"));
    let smolfile = project.path().join(format!("{file}.yaml"));
    fs_err::write(&smolfile, text).unwrap();
    BuildOptions { smolfile, ..impatient(project) }
}

#[test]
fn files_that_share_a_memory_read_the_indexes_once_and_get_what_they_get_alone() {
    let small = archive();
    let project = small.project();
    let files = [("one", "[subject]"), ("two", "[subject]"), ("three", "[other]")];
    let files = files.map(|(file, packages)| with_packages(&project, file, packages));
    let alone = files.each_ref().map(|options| locked(options).unwrap());
    assert!(alone[0] == alone[1] && alone[0] != alone[2]);

    let memory = Memory::default();
    let files = files.map(|options| BuildOptions { memory: Some(memory.clone()), ..options });
    assert!(locked(&files[0]).unwrap() == alone[0]);
    // From now on, indexes can be had nowhere but in memory.
    fs_err::remove_dir_all(&files[0].cache_dir).unwrap();
    gone(&small);
    for (options, alone) in files.iter().zip(&alone) {
        assert!(locked(options).unwrap() == *alone, "{}", options.smolfile.display());
    }
    for options in files {
        locked(&BuildOptions { memory: None, ..options }).expect_err("resolved without indexes");
    }
}

#[test]
fn an_archive_that_changed_is_read_again() {
    let mut small = archive();
    let project = small.project();
    let options = BuildOptions { memory: Some(Memory::default()), ..impatient(&project) };
    let old = locked(&options).unwrap();
    assert!(locked(&options).unwrap() == old);
    small.publish(&TestDeb::new("subject", "1.1"));
    let new = locked(&options).unwrap();
    assert!(new != old && new.contains("subject_1.1"), "{new}");
    assert!(new == locked(&BuildOptions { memory: None, ..options }).unwrap());
}

#[test]
fn a_text_in_the_cache_saves_the_reading_of_the_index_and_is_never_believed() {
    let mut small = archive();
    let project = small.project();
    let options = impatient(&project);
    let texts = || -> Vec<PathBuf> {
        let folder = options.cache_dir.join("made");
        names(&folder).into_iter().map(|name| folder.join(name)).collect()
    };
    let offline = BuildOptions { offline: true, ..impatient(&project) };
    let first = locked(&options).unwrap();
    let count = texts().len();
    assert!(count > 0);

    // The texts alone are enough, with a network and without.
    fs_err::remove_dir_all(options.cache_dir.join("sha256")).unwrap();
    gone(&small);
    assert!(locked(&options).unwrap() == first && locked(&offline).unwrap() == first);

    // A package that nobody signed, in a text of the same length, is not taken.
    for path in texts() {
        let forged = fs_err::read_to_string(&path).unwrap().replace("Version: 1.0", "Version: 9.9");
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, forged).unwrap();
    }
    locked(&options).expect_err("resolved from a forged index");
    locked(&offline).expect_err("resolved from a forged index");
    small.mirror.repair(INDEXES);
    assert!(locked(&options).unwrap() == first && locked(&offline).unwrap() == first);

    // Nor is one of an earlier day, or one that is cut short; and the new takes the place of the old.
    small.publish(&TestDeb::new("subject", "1.1"));
    let second = locked(&options).unwrap();
    assert!(second.contains("subject_1.1") && texts().len() == count);
    for path in texts() {
        let text = fs_err::read(&path).unwrap();
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, &text[..text.len() / 2]).unwrap();
    }
    assert!(locked(&options).unwrap() == second && locked(&offline).unwrap() == second);
}

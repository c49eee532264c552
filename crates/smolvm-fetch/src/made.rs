//! What is made of downloads and kept beside them, so that the making is not repeated: the text of a compressed index.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::cache::{Cache, create_parent, is_same_file};
use crate::verified::VerifiedFile;

/// A file on its way into the cache. It comes to be there with [`Self::keep`]; what is dropped before is not.
///
/// A cache that cannot be written costs time later and nothing else, so that trouble with it is not told.
#[derive(Debug)]
pub struct Making {
    /// Locked; `None` once a write failed.
    file: Option<File>,
    part: PathBuf,
    path: PathBuf,
}

impl Cache {
    /// Where what is made under a name lies.
    fn made(&self, name: &str) -> PathBuf {
        self.root().join("made").join(hex::encode(Sha256::digest(name)))
    }

    /// What was made under a name, if its content is the one asked for.
    pub(crate) fn find_made(&self, name: &str, size: u64, sha256: [u8; 32]) -> Option<VerifiedFile> {
        let path = self.made(name);
        // Of another length is what was made of an older download: it needs no hashing.
        let is_candidate = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size);
        if is_candidate { VerifiedFile::from_local(&path, size, sha256).ok() } else { None }
    }

    /// Begins to make; `None` where somebody else does, or nothing can be written.
    pub(crate) fn make(&self, name: &str) -> Option<Making> {
        let path = self.made(name);
        let part = path.with_extension("part");
        create_parent(&path).ok()?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&part).ok()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
        }
        // Whoever held the lock may have moved this very file to where readers find it.
        if !is_same_file(&file, &part).ok()? {
            return None;
        }
        // A process that was killed left its beginning.
        file.set_len(0).ok()?;
        Some(Making { file: Some(file), part, path })
    }
}

impl Making {
    /// Puts what was written in the place of what was made under this name before. Nobody needs to believe that it is right: it is
    /// hashed when it is found.
    pub fn keep(mut self) {
        // The lock is held until the file has its name.
        let Some(file) = self.file.take() else { return };
        match std::fs::rename(&self.part, &self.path) {
            // Afterwards, so that what a killed process leaves can be written to.
            Ok(()) => drop(file.set_permissions(std::fs::Permissions::from_mode(0o444))),
            Err(_) => self.file = Some(file),
        }
    }
}

impl Write for Making {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_err()
        {
            // Its room may be needed.
            let _ = std::fs::remove_file(&self.part);
            self.file = None;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let find = |text: &str| {
            let found = cache.find_made("a b/c", text.len() as u64, Sha256::digest(text).into());
            found.map(|file| String::from_utf8(file.content().unwrap()).unwrap())
        };
        let make = |text: &str| {
            let mut making = cache.make("a b/c").unwrap();
            making.write_all(text.as_bytes()).unwrap();
            making
        };
        assert_eq!(find("one"), None);
        drop(make("one"));
        assert_eq!(find("one"), None, "what was not kept");
        make("one").keep();
        assert_eq!(find("one").as_deref(), Some("one"));
        assert_eq!((find("two"), find("three")), (None, None));

        // One at a time, and no reader of the old sees the new.
        let making = make("two");
        assert!(cache.make("a b/c").is_none());
        let old = cache.find_made("a b/c", 3, Sha256::digest("one").into()).unwrap();
        making.keep();
        assert_eq!(old.content().unwrap(), b"one");
        assert_eq!((find("one"), find("two").as_deref()), (None, Some("two")));
        let names: Vec<_> = fs_err::read_dir(folder.path().join("made")).unwrap().map(Result::unwrap).collect();
        assert_eq!(names.len(), 1, "{names:?}");

        // Damage is a miss, and what a killed process left is overwritten.
        fs_err::remove_file(names[0].path()).unwrap();
        fs_err::write(names[0].path(), "tow").unwrap();
        fs_err::write(names[0].path().with_extension("part"), "the beginning of something long").unwrap();
        assert_eq!(find("two"), None);
        make("two").keep();
        assert_eq!(find("two").as_deref(), Some("two"));
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("made"), "a file where the folder should be").unwrap();
        assert!(Cache::new(folder.path().to_owned()).make("name").is_none());
    }
}

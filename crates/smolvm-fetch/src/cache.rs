//! The download cache: where things lie in it, and how a file in it is proven again. Everything here blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::verified::{VerifiedFile, hash_to_end};
use crate::wanted::Wanted;

/// The layout of the cache's folder.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// What the cache has for a digest.
#[derive(Debug)]
pub(crate) enum Lookup {
    Hit(VerifiedFile),
    Miss,
    /// There was something under that digest whose content is another one. It is gone now.
    Damaged,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a whole file lies.
    pub(crate) fn entry(&self, sha256: &[u8; 32]) -> PathBuf {
        let name = hex::encode(sha256);
        self.root.join("sha256").join(&name[..2]).join(name)
    }

    /// Where the beginning of a file lies.
    pub(crate) fn partial(&self, sha256: &[u8; 32]) -> PathBuf {
        self.root.join("partial").join(hex::encode(sha256))
    }

    /// Where the last good index of an address lies.
    pub(crate) fn index(&self, address: &str) -> PathBuf {
        self.root.join("index").join(hex::encode(Sha256::digest(address)))
    }

    /// Finds a file and hashes it again, so that a damaged one is never used.
    pub(crate) fn look_up(&self, wanted: &Wanted) -> io::Result<Lookup> {
        let path = self.entry(&wanted.sha256);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lookup::Miss),
            Err(error) => return Err(at(&path, &error)),
        };
        let length = file.metadata()?.len();
        let mut hasher = Sha256::new();
        let read = hash_to_end(&mut file, &mut hasher, length).map_err(|error| at(&path, &error))?;
        if read == length && <[u8; 32]>::from(hasher.finalize()) == wanted.sha256 {
            // A good file whose size is another than the one asked for: what asks is wrong, and the file stays.
            let fits = wanted.size.is_none_or(|size| size == length);
            return Ok(if fits {
                Lookup::Hit(VerifiedFile::proven(file, path, length, wanted.sha256))
            } else {
                Lookup::Miss
            });
        }
        // Only what was read is removed, not what another process may have put there meanwhile.
        if is_same_file(&file, &path)? {
            match fs_err::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(Lookup::Damaged)
    }
}

/// Whether `path` still leads to the open `file`.
pub(crate) fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(theirs) => Ok(ours.dev() == theirs.dev() && ours.ino() == theirs.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path, &error)),
    }
}

/// Puts a written file under its final name, read-only. Makes the folder if need be.
pub(crate) fn publish(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.set_permissions(std::fs::Permissions::from_mode(0o444)).map_err(|error| at(from, &error))?;
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_parent(to)?;
            fs_err::rename(from, to)
        }
        other => other.map_err(|error| at(to, &error)),
    }
}

/// Makes the folder that `path` lies in.
pub(crate) fn create_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs_err::create_dir_all(parent),
        None => Ok(()),
    }
}

/// The same error, saying where.
pub(crate) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

//! The part of a file that has arrived so far. Everything here blocks.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::cache::{Cache, at, create_parent, is_same_file, publish};
use crate::verified::{VerifiedFile, hash_to_end};
use crate::wanted::Wanted;

/// The beginning of a file in the cache, locked for as long as this lives. Other fetches of the same file wait, in this
/// process and in others; the lock of a process that died is gone with it.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    length: u64,
    /// Whether it went into the cache under its final name.
    published: bool,
}

/// What became of a finished download.
#[derive(Debug)]
pub(crate) enum Finished {
    Proven(VerifiedFile),
    /// The digest that it has instead.
    Wrong([u8; 32]),
}

impl Partial {
    /// Opens what an earlier attempt left behind, or begins anew. `None` while somebody else is writing to it.
    pub(crate) fn try_open(cache: &Cache, wanted: &Wanted) -> io::Result<Option<Self>> {
        let path = cache.partial(&wanted.sha256);
        let file = match open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_parent(&path)?;
                open(&path)
            }
            other => other,
        }
        .map_err(|error| at(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(at(&path, &error)),
        }
        // Whoever held the lock may have finished, and moved this very file to where whole files lie.
        if !is_same_file(&file, &path)? {
            return Ok(None);
        }
        let mut partial = Self { file, path, hasher: Sha256::new(), length: 0, published: false };
        partial.length = hash_to_end(&mut partial.file, &mut partial.hasher, wanted.limit())?;
        if partial.length > wanted.limit() {
            partial.restart()?;
        }
        Ok(Some(partial))
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds what has arrived.
    pub(crate) fn append(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        for chunk in chunks {
            if let Err(error) = self.file.write_all(chunk) {
                // Part of the chunk may have been written; what was not hashed must not stay.
                let _ = self.file.set_len(self.length);
                let _ = self.file.seek(SeekFrom::Start(self.length));
                return Err(at(&self.path, &error));
            }
            self.hasher.update(chunk);
            self.length += chunk.len() as u64;
        }
        Ok(())
    }

    /// Throws away what has arrived.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0).map_err(|error| at(&self.path, &error))?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Takes the file into the cache if its content is the one that was asked for.
    pub(crate) fn finish(&mut self, cache: &Cache, wanted: &Wanted) -> io::Result<Finished> {
        let found: [u8; 32] = self.hasher.clone().finalize().into();
        if found != wanted.sha256 || wanted.size.is_some_and(|size| size != self.length) {
            return Ok(Finished::Wrong(found));
        }
        let entry = cache.entry(&wanted.sha256);
        publish(&self.file, &self.path, &entry)?;
        self.published = true;
        // The very handle that was written through, so that no other file can be in its place; those who wait for the
        // lock need not wait until the proven file is dropped.
        let file = self.file.try_clone()?;
        file.unlock()?;
        Ok(Finished::Proven(VerifiedFile::proven(file, entry, self.length, wanted.sha256)))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Nothing to go on from: leave nothing behind. The lock is still held, so nobody else is writing to it.
        if self.length == 0 && !self.published {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

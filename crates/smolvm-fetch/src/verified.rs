//! Files that are proven to be what was asked for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// An open file whose whole content had the size and the sha256 that were asked for.
///
/// Only this crate can make one, and only after hashing to the end: having one is the proof. It reads from the handle
/// that was hashed, so what later happens to the path changes nothing. Each clone has a position of its own (it begins
/// where the file does), so clones can be read on several threads at once.
#[derive(Debug)]
pub struct VerifiedFile {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    sha256: [u8; 32],
    position: u64,
}

/// A file on this machine that is not what it should be.
#[derive(Debug, Error, Diagnostic)]
pub enum VerifyError {
    /// It cannot be read.
    #[error("cannot read {name}: {source}")]
    #[diagnostic(code(smolvm::fetch::unreadable))]
    Unreadable {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its content is another one.
    #[error("{name} is not what was expected: expected {expected}, found {found}")]
    #[diagnostic(code(smolvm::fetch::wrong_content), help("fetch it again from where it came from"))]
    WrongContent {
        /// The file.
        name: String,
        /// Size and digest that were asked for.
        expected: String,
        /// Size and digest that it has.
        found: String,
    },
}

impl VerifiedFile {
    /// Proves a file on this machine, by reading all of it. Without a size, the digest alone judges.
    pub fn from_local(path: &Path, size: impl Into<Option<u64>>, sha256: [u8; 32]) -> Result<Self, VerifyError> {
        let size = size.into();
        let unreadable = |source| VerifyError::Unreadable { name: path.display().to_string(), source };
        // A pipe would wait for somebody who writes to it.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut hasher = Sha256::new();
        let limit = size.unwrap_or(u64::MAX - 1);
        let length = hash_to_end(&mut file, &mut hasher, limit).map_err(unreadable)?;
        let found: [u8; 32] = hasher.finalize().into();
        if size.is_some_and(|size| size != length) || found != sha256 {
            return Err(VerifyError::WrongContent {
                name: path.display().to_string(),
                expected: describe(size, &sha256),
                found: describe(Some(length), &found),
            });
        }
        Ok(Self::proven(file, path.to_owned(), length, sha256))
    }

    /// For the two places that have just hashed `file` to its end: the cache and the end of a download.
    pub(crate) fn proven(file: File, path: PathBuf, size: u64, sha256: [u8; 32]) -> Self {
        Self { file: Arc::new(file), path, size, sha256, position: 0 }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What its content hashes to.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Where it was when it was proven: for messages only. Its bytes are read through this value, not from there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole content.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl Clone for VerifiedFile {
    fn clone(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            path: self.path.clone(),
            size: self.size,
            sha256: self.sha256,
            position: 0,
        }
    }
}

impl Read for VerifiedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What was appended since is not part of what was proven.
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for VerifiedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// Hashes what is left of `file`, and no more than one byte beyond `limit`: a file that long is wrong anyway.
pub(crate) fn hash_to_end(file: &mut File, hasher: &mut Sha256, limit: u64) -> io::Result<u64> {
    // Large enough that system calls do not count, small enough to stay in the processor's cache.
    let mut buffer = vec![0; 128 << 10];
    let mut length = 0;
    while length <= limit {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
    Ok(length)
}

/// Size and digest, for people.
pub(crate) fn describe(size: Option<u64>, sha256: &[u8; 32]) -> String {
    match size {
        Some(size) => format!("{size} bytes with sha256 {}", hex::encode(sha256)),
        None => format!("sha256 {}", hex::encode(sha256)),
    }
}

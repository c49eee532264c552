//! A root file system as data: a sorted listing over content that lies elsewhere.

mod edit;
mod error;
mod lookup;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub use error::TreeError;
pub(crate) use error::size_changed;

/// A root file system: paths, the inodes they name, and where each file's bytes are.
///
/// Invariant: the root folder exists under the empty path, and the parent of every path is a folder.
///
/// Paths are relative and `/`-separated. Every method takes them with or without a leading slash, and refuses `..`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "parts::Parts", into = "parts::Parts")]
pub struct RootTree {
    /// Path (relative, `/`-separated, no leading slash; empty for the root) to inode. Two paths with one id are hard links.
    pub(crate) entries: BTreeMap<String, InodeId>,
    pub(crate) inodes: Vec<Inode>,
}

/// Index of an inode in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InodeId(pub(crate) u32);

/// Everything about a file but its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    /// What it is, with what only that kind has.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Extended attributes, full names (`security.capability`), values as the kernel gives them.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link to this target.
    Symlink(String),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In memory: small files that smolvm itself writes.
    Bytes(Arc<[u8]>),
    /// In a file of the building user.
    File {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// A part of a file of the building user that holds many contents: that of a [`PackedTree`](crate::PackedTree).
    Slice {
        /// Where.
        file: Arc<Path>,
        /// Where in it.
        offset: u64,
        /// Bytes.
        size: u64,
    },
}

impl Inode {
    /// An inode without extended attributes.
    pub fn new(kind: Kind, mode: u32, uid: u32, gid: u32, mtime: i64) -> Self {
        Self { kind, mode, uid, gid, mtime, xattrs: BTreeMap::new() }
    }

    /// Whether it is a folder.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

impl Content {
    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Slice { size, .. } => *size,
        }
    }

    /// The bytes. A file that has another size than recorded is an error.
    pub fn read(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.to_vec()),
            Self::File { path, size } => {
                let bytes = fs_err::read(path)?;
                if bytes.len() as u64 == *size {
                    Ok(bytes)
                } else {
                    Err(error::size_changed(path, *size, bytes.len() as u64))
                }
            }
            Self::Slice { file, offset, size } => {
                let mut bytes = vec![0; usize::try_from(*size).map_err(std::io::Error::other)?];
                fs_err::File::open(&**file)?.file().read_exact_at(&mut bytes, *offset)?;
                Ok(bytes)
            }
        }
    }

    /// When the file that holds the bytes was last changed in any way, or moved; none for bytes in memory.
    pub fn changed(&self) -> std::io::Result<Option<SystemTime>> {
        let path = match self {
            Self::Bytes(_) => return Ok(None),
            Self::File { path, .. } => path.as_path(),
            Self::Slice { file, .. } => file,
        };
        let found = fs_err::symlink_metadata(path)?;
        let nanoseconds = u64::try_from(found.ctime_nsec()).unwrap_or_default();
        let seconds = u64::try_from(found.ctime()).unwrap_or_default();
        Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)))
    }

    /// The file that holds the bytes, and where in it they begin; none for bytes in memory. A file that cannot hold them is an error.
    pub fn open(&self) -> std::io::Result<Option<(fs_err::File, u64)>> {
        match self {
            Self::Bytes(_) => Ok(None),
            Self::File { path, size } => {
                let file = fs_err::File::open(path)?;
                let found = file.metadata()?.len();
                if found == *size { Ok(Some((file, 0))) } else { Err(error::size_changed(path, *size, found)) }
            }
            Self::Slice { file: path, offset, size } => {
                let file = fs_err::File::open(&**path)?;
                let (found, end) = (file.metadata()?.len(), offset.saturating_add(*size));
                if found >= end { Ok(Some((file, *offset))) } else { Err(error::size_changed(path, end, found)) }
            }
        }
    }
}

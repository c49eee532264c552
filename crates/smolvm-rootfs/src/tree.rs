//! A root file system as data: a sorted listing over content that lies elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A root file system: paths, the inodes they name, and where each file's bytes are.
///
/// Invariant: the root folder exists under the empty path, and the parent of every path is a folder.
#[derive(Debug, Clone)]
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
}

//! What callers hand in, and what a command answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::MemoryFolder;

/// How a session is set up.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// A folder that belongs to the building user. `start` makes it, with `root/` (the image) and `content/` (files
    /// waiting to be placed), where they are missing, and closes it to other users (mode 0700).
    pub scratch: PathBuf,
    /// Memory that is mounted on the scratch folder, and takes its place.
    pub memory: Option<MemoryFolder>,
    /// What commands can reach.
    pub network: Network,
    /// The host name that commands see.
    pub hostname: String,
}

/// What commands of a session can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// A loopback device of their own and nothing else.
    None,
    /// All that the host can reach, its loopback services included.
    Host,
}

/// A path relative to the scratch folder, for example `content/bash/17`.
pub type ScratchPath = String;

/// One change to the image's folder.
///
/// Paths are inside the image: relative or absolute, `/`-separated, without `..`. Links among the folders that lead
/// to a path are followed inside the image, never out of it; the last name is not followed. Owners are those of the
/// image; times are seconds since 1970.
///
/// Folders missing above a path are made, 0755 root:root, as editing the image by list needs (dpkg's own order
/// always has the folders first).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaceOp {
    /// A folder. Where a folder or a link to one exists, it is left as it is, as dpkg does.
    Directory {
        /// Where.
        path: String,
        /// Permission bits, `0o7777` at most.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Modification time; what is placed into the folder later moves it on, see [`PlaceOp::SetDirectoryTime`].
        mtime: i64,
    },
    /// A regular file, moved (not copied) out of the scratch folder. Replaces anything but a folder.
    File {
        /// Where.
        path: String,
        /// The file that becomes it.
        content: ScratchPath,
        /// Permission bits, `0o7777` at most.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Modification time.
        mtime: i64,
        /// Extended attributes by full name (`security.capability`).
        xattrs: BTreeMap<String, Vec<u8>>,
    },
    /// A regular file, copied out of a part of a file in the scratch folder. Replaces anything but a folder.
    Slice {
        /// Where.
        path: String,
        /// The file that holds its bytes among others.
        content: ScratchPath,
        /// Where in that file they begin.
        offset: u64,
        /// How many.
        size: u64,
        /// Permission bits, `0o7777` at most.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Modification time.
        mtime: i64,
        /// Extended attributes by full name (`security.capability`).
        xattrs: BTreeMap<String, Vec<u8>>,
    },
    /// A named pipe, or a socket that nobody listens at. Replaces anything but a folder.
    Special {
        /// Where.
        path: String,
        /// Whether it is a socket.
        socket: bool,
        /// Permission bits, `0o7777` at most.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Modification time.
        mtime: i64,
    },
    /// A symbolic link. Replaces anything but a folder.
    Symlink {
        /// Where.
        path: String,
        /// What it says, as it is.
        target: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Modification time.
        mtime: i64,
    },
    /// One more name for a file of the image. Replaces anything but a folder.
    HardLink {
        /// Where.
        path: String,
        /// The name that the file has already.
        target: String,
    },
    /// Renames what is at `from`, itself and not what it points to. Replaces anything but a folder.
    Rename {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// Removes what is there, a folder with all that is in it. Nothing there is no error.
    Remove {
        /// Where.
        path: String,
    },
    /// Sets mode and owner of a folder or file that exists.
    SetMetadata {
        /// Where.
        path: String,
        /// Permission bits, `0o7777` at most.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Sets extended attributes of a folder, by full name, once everything that belongs in it is there: what is made in a folder with default
    /// access control lists gets those.
    SetDirectoryAttributes {
        /// Where.
        path: String,
        /// Names and values.
        xattrs: BTreeMap<String, Vec<u8>>,
    },
    /// Sets the modification time of a folder, once everything that belongs in it is there.
    SetDirectoryTime {
        /// Where.
        path: String,
        /// Modification time.
        mtime: i64,
    },
}

/// A command to run with the image's folder as its root.
///
/// It starts in a session of its own, without a terminal, with umask 022, default signal dispositions and exactly
/// the environment given here. It sees `/proc` of the sandbox, a small `/dev`, an empty `/sys` and empty `tmpfs`
/// on `/run`. `fsync` and its relatives do nothing, since the folder is scratch.
#[derive(Debug, Clone)]
pub struct SandboxCommand {
    /// Program and arguments. A program without a slash is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working folder inside the image. It must exist.
    pub cwd: String,
    /// Who runs it; `None` is root with no further groups.
    pub user: Option<CommandUser>,
    /// What it reads; `None` is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// Files `/run/secrets/<name>`, mode 0400, owned by the command's user, that exist while it runs.
    pub secrets: Vec<SecretFile>,
    /// Files that exist, read-only, while it runs and leave no trace in the image: `resolv.conf`, the host's CA bundle.
    pub mounted_files: Vec<MountedFile>,
}

impl SandboxCommand {
    /// A command run by root from `/`, without input.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>, env: Vec<(String, String)>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env,
            cwd: "/".to_owned(),
            user: None,
            stdin: None,
            secrets: Vec::new(),
            mounted_files: Vec::new(),
        }
    }
}

/// Who runs a command, by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandUser {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// A secret that a command may read, and that is nowhere after it.
///
/// No `Display`, no `Serialize`, and a `Debug` that shows nothing.
#[derive(Clone)]
pub struct SecretFile {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

impl SecretFile {
    /// The secret `/run/secrets/<name>`.
    pub fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into() }
    }
}

impl std::fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretFile({}, …)", self.name)
    }
}

/// A file that a command sees and the image never holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedFile {
    /// Absolute path inside the image; links are followed inside the image.
    pub path: String,
    /// Its bytes; it is root's, mode 0444.
    pub content: Vec<u8>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandStatus {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl CommandStatus {
    /// Whether it ended by itself with code 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for CommandStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

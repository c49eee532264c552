//! What a Smolfile means: every value typed, every default filled in, every outside file that decides bytes digested.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::document::Document;
use crate::secret::SecretSource;

/// A validated Smolfile.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The text that this came from, for errors that are found later and want to point at a line.
    pub document: Arc<Document>,
    /// The image's name: `[a-z0-9][a-z0-9._-]*`.
    pub name: String,
    /// The operating system to start from.
    pub base: Base,
    /// The architecture of the image.
    pub arch: Arch,
    /// How large the root file system is.
    pub size: Size,
    /// Packages asked for, in the order of the Smolfile. What SSH needs is added when resolving, not here.
    pub packages: Vec<PackageRequest>,
    /// Extra or replacing package archives.
    pub repositories: Vec<Repository>,
    /// SSH access; `None` for `ssh: false`.
    pub ssh: Option<Ssh>,
    /// Environment of the guest: ssh commands, login shells, services.
    pub env: BTreeMap<String, String>,
    /// The guest's host name.
    pub hostname: String,
    /// Users to create, in order.
    pub users: Vec<User>,
    /// Files to place, in order.
    pub files: Vec<FileEntry>,
    /// Commands run inside the image while it is built, in order.
    pub run: Vec<RunStep>,
    /// Build secrets by name; their values are read only when a run step needs them.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Supervised services.
    pub services: Vec<Service>,
    /// Name servers of the guest that apply when the boot arguments give none.
    pub dns: Vec<std::net::IpAddr>,
    /// Where `/tmp` lives.
    pub tmp: Tmp,
    /// Which kernel boots the image.
    pub kernel: KernelChoice,
    /// Words appended to the kernel command line.
    pub boot_args: Vec<String>,
}

/// A processor architecture, by its Debian name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// Every architecture that a Smolfile may name.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The name that Debian and the Smolfile use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The size of the root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// The content plus headroom.
    Auto,
    /// Exactly so many bytes.
    Bytes(u64),
}

/// One entry of `packages`: a name, and perhaps a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageRequest {
    /// The package's name.
    pub name: String,
    /// An exact version, or a pattern with `*` in it.
    pub version: Option<String>,
}

impl fmt::Display for PackageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}={version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A package archive named by the Smolfile.
///
/// An entry whose `name` is that of one of the base's own archives (`debian`, `debian-security`, `ubuntu`) replaces it:
/// its address is asked first, and its suites, components and key, where given, stand for the built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The archive's name in the lock; by default the host of `url`.
    pub name: String,
    /// The archive's address, without the `dists/…` part and without a trailing slash.
    pub url: String,
    /// Suites to read. Empty: those of the base (only where `name` is one of the base's archives).
    pub suites: Vec<String>,
    /// Components to read. Empty: those of the base.
    pub components: Vec<String>,
    /// The OpenPGP certificates that may sign its indexes, armoured or binary. Empty: the base's keyring.
    pub signed_by: Vec<u8>,
    /// The name of that file, where it counts: apk looks for the key of a signature by its file name.
    pub key_file: Option<String>,
}

/// SSH access to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// Lines of root's `authorized_keys`, each a key that was parsed.
    pub authorized_keys: Vec<String>,
    /// Root's password as a crypt(3) hash (`$6$…`); `None` leaves root without one.
    pub password_hash: Option<String>,
}

/// A user of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id; the next free one from 1000 on if `None`. The primary group has the user's name and id.
    pub uid: Option<u32>,
    /// Supplementary groups; those that do not exist are an error when building.
    pub groups: Vec<String>,
    /// Login shell, absolute.
    pub shell: String,
    /// Home folder, absolute.
    pub home: String,
    /// Lines of the user's `authorized_keys`.
    pub authorized_keys: Vec<String>,
    /// Password as a crypt(3) hash; `None` leaves the user without one (`*`, not `!`).
    pub password_hash: Option<String>,
}

/// One entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Absolute, normalised path in the guest.
    pub target: String,
    /// What to put there.
    pub content: FileContent,
    /// Permission bits of a file (not of a copied folder's parts). `None`: 0755 for a source whose owner may execute it, else 0644,
    /// so that a checkout's umask does not decide bytes.
    pub mode: Option<u32>,
    /// Owner; root:root if `None`.
    pub owner: Option<Owner>,
}

/// `owner: user:group`, each a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User name or id.
    pub user: String,
    /// Group name or id.
    pub group: String,
}

/// The content of one entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileContent {
    /// Text in the Smolfile.
    Inline(String),
    /// A file or folder beside the Smolfile.
    Local(LocalSource),
}

/// A `source` of the Smolfile, read and digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSource {
    /// Where it lies on this machine. Never part of a key.
    #[serde(skip)]
    pub root: PathBuf,
    /// What is there: one entry with an empty path for a file, or the folder and everything below it, sorted by path.
    pub entries: Vec<LocalEntry>,
}

/// One node below a `source`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalEntry {
    /// Path relative to the source, `/`-separated; empty for the source itself.
    pub path: String,
    /// What it is.
    pub kind: LocalKind,
}

/// What a [`LocalEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalKind {
    /// A folder.
    Directory,
    /// A file.
    File {
        /// blake3 of its bytes, hex.
        blake3: String,
        /// Bytes.
        size: u64,
        /// Whether its owner may execute it: the one permission bit that git keeps.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: String,
    },
}

/// One entry of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStep {
    /// A line for `/bin/sh -ec`.
    pub command: String,
    /// Working folder, absolute.
    pub workdir: String,
    /// Who runs it.
    pub user: String,
    /// Environment of this step alone.
    pub env: BTreeMap<String, String>,
    /// Whether it sees the host's network.
    pub network: bool,
    /// Names of the secrets it may read, under `/run/secrets/NAME`.
    pub secrets: Vec<String>,
}

/// One entry of `services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The service's name.
    pub name: String,
    /// Program and arguments; the program is absolute.
    pub command: Vec<String>,
    /// Who runs it.
    pub user: String,
    /// Working folder.
    pub workdir: String,
    /// Environment of this service, over the guest's.
    pub env: BTreeMap<String, String>,
    /// When to start it again.
    pub restart: Restart,
    /// Whether it waits for the network.
    pub after_network: bool,
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    Never,
    /// When it ended with an error.
    OnFailure,
    /// Whenever it ended.
    Always,
}

/// Where `/tmp` lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tmp {
    /// On the root disk, emptied at boot.
    Disk,
    /// In memory; `None` leaves the size to the kernel (half of the memory).
    Tmpfs(Option<u64>),
}

/// Which kernel boots the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelChoice {
    /// The best that can be had.
    Auto,
    /// The published universal kernel of SmolVM.
    Smolvm,
    /// The distribution's own cloud kernel.
    Distro {
        /// Which of its modules go into the image.
        modules: Modules,
    },
    /// Debian's cloud kernel, which boots any root file system.
    Debian,
    /// A kernel from an address.
    Url {
        /// Where.
        url: String,
        /// What it must hash to, hex.
        sha256: String,
    },
    /// A kernel on this machine.
    Path {
        /// Where.
        #[serde(skip)]
        path: PathBuf,
        /// What it hashes to, hex.
        sha256: String,
    },
}

/// Which modules of a distribution's kernel go into the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Modules {
    /// The chosen set (overlay, fuse, vsock, netfilter, erofs, squashfs) with what they need.
    Chosen,
    /// Every module of the package.
    All,
}

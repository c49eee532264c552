//! Smolfile.lock: everything that is needed to get the same bytes again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod changes;
mod check;
mod error;
mod numbers;
mod text;

pub use changes::LockChange;
pub use error::LockError;
pub(crate) use text::WrittenFile;

use crate::key::question;
use crate::manifest::{Arch, Manifest, Modules};

/// A manifest together with the lock that answers it: the input of everything after resolving.
#[derive(Debug, Clone)]
pub struct LockedManifest {
    /// What was asked.
    pub manifest: Manifest,
    /// What that means today.
    pub lock: Lock,
}

impl LockedManifest {
    /// Puts a manifest and its lock together; a lock that answers another question is refused.
    pub fn new(manifest: Manifest, lock: Lock) -> Result<Self, StaleLock> {
        if lock.question == question(&manifest) { Ok(Self { manifest, lock }) } else { Err(StaleLock) }
    }
}

/// The lock answers another question than the Smolfile asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error(
    "the lock file does not belong to this Smolfile: base, arch, packages, repositories, ssh or kernel changed after it \
     was written"
)]
#[diagnostic(code(smolvm::lock::stale), help("run `smolvm lock`: it resolves the packages anew and writes a new one"))]
pub struct StaleLock;

/// A lock file: for each architecture that a Smolfile was locked for, what it means there.
///
/// Each lock stands by itself and holds a digest over itself: one that is added, refreshed or outrun changes nothing of the others,
/// and version control may merge the locks of two architectures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    locks: BTreeMap<Arch, Lock>,
}

impl LockFile {
    /// The format that this code writes. Version 1 had no digest over itself; version 2, which is still read, had one architecture.
    pub const VERSION: u32 = 3;

    /// One with the lock of one architecture.
    pub fn of(arch: Arch, lock: Lock) -> Self {
        Self { locks: BTreeMap::from([(arch, lock)]) }
    }

    /// The lock of an architecture.
    pub fn get(&self, arch: Arch) -> Option<&Lock> {
        self.locks.get(&arch)
    }

    /// Adds the lock of an architecture, or puts it in the place of an older one.
    pub fn insert(&mut self, arch: Arch, lock: Lock) {
        self.locks.insert(arch, lock);
    }

    /// All, in the order of the architectures' names.
    pub fn iter(&self) -> impl Iterator<Item = (Arch, &Lock)> {
        self.locks.iter().map(|(arch, lock)| (*arch, lock))
    }
}

/// What a Smolfile means on one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// What its words mean: [`Lock::VERSION`].
    pub version: u32,
    /// Digest of those parts of the manifest that the lock answers (see `question`), hex blake3. A lock whose question is
    /// another one is stale.
    pub question: String,
    /// The newest `Date` of the indexes, seconds since 1970. No file in the image is younger.
    pub epoch: i64,
    /// The indexes that were read.
    pub indexes: Vec<LockedIndex>,
    /// Every package that is installed, sorted by name.
    pub packages: Vec<LockedPackage>,
    /// The kernel and what its initrd needs.
    pub kernel: LockedKernel,
    /// The Docker image that the Docker engine starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<LockedImage>,
}

impl Lock {
    /// Goes up when the same words mean other bytes, and is part of the build key: that of the file ([`LockFile::VERSION`]) is not,
    /// so that another way of writing the same makes no image anew.
    pub const VERSION: u32 = 2;
}

/// A signed index that resolving read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockedIndex {
    /// The archive's name, never a host.
    pub archive: String,
    /// The suite.
    pub suite: String,
    /// The release file's `Date`, seconds since 1970.
    #[serde(deserialize_with = "numbers::time")]
    #[schemars(range(min = 0))]
    pub date: i64,
    /// sha256 of the `InRelease` file, hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// A package, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its own architecture field: `amd64`, `all` ….
    pub arch: String,
    /// The layer that installs it.
    pub layer: PackageLayer,
    /// The archive's name, never a host.
    pub archive: String,
    /// Path below the archive's address.
    pub path: String,
    /// Bytes.
    #[serde(deserialize_with = "numbers::bytes")]
    pub size: u64,
    /// sha256, hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// Which layer a package belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageLayer {
    /// The release's essential and required set, and all it depends on.
    Base,
    /// What the Smolfile (and SSH) asks for beyond it.
    User,
}

/// The kernel that boots the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum LockedKernel {
    /// Of the image's own distribution.
    Distro(PackagedKernel),
    /// Debian's, for another distribution's root file system.
    Debian(PackagedKernel),
    /// The published universal kernel of SmolVM.
    Smolvm(KernelFile),
    /// From an address.
    Url(KernelFile),
    /// A file of this machine.
    Path(KernelFile),
}

impl LockedKernel {
    /// Where it came from, in a word.
    pub const fn source(&self) -> &'static str {
        match self {
            Self::Distro(_) => "distro",
            Self::Debian(_) => "debian",
            Self::Smolvm(_) => "smolvm",
            Self::Url(_) => "url",
            Self::Path(_) => "path",
        }
    }
}

/// A kernel that is one file, and needs neither modules nor an initrd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelFile {
    /// What it hashes to, hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// A kernel out of a distribution's packages, with modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackagedKernel {
    /// Which modules go into the image.
    pub modules: Modules,
    /// The packages that hold the kernel and its modules: one in Debian, several in Ubuntu.
    pub packages: Vec<LockedPackage>,
    /// The package that holds the static busybox of the initrd.
    pub busybox: LockedPackage,
}

/// A Docker image, exactly, and what of it enters the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// As the Smolfile spells it: `node:22-bookworm-slim`.
    pub reference: String,
    /// `sha256:` and 64 hexadecimal digits: of the registry's manifest, or of the image itself where it never was in a registry.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// Whether the digest is that of a registry's manifest, by which every machine can pull it.
    pub in_registry: bool,
    /// What installs packages in it.
    pub tools: ImageTools,
    /// Its ENV.
    pub env: BTreeMap<String, String>,
    /// Its USER; empty means root.
    pub user: String,
    /// Its WORKDIR; empty means `/`.
    pub workdir: String,
    /// Its ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// Its CMD.
    pub cmd: Vec<String>,
}

/// The package manager of a Docker image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageTools {
    /// apt, with dpkg and shadow-utils.
    Apt,
    /// apk, with busybox.
    Apk,
    /// None that smolvm knows.
    None,
}

impl LockedImage {
    /// How a Dockerfile names it, so that no other one is meant.
    pub fn pinned(&self) -> String {
        if !self.in_registry {
            return self.reference.clone();
        }
        // A colon in the last part begins a tag; before that, a port.
        let untagged = self.reference.split('@').next().unwrap_or_default();
        let (folder, name) = untagged.rsplit_once('/').map_or(("", untagged), |(folder, name)| (folder, name));
        let name = name.split(':').next().unwrap_or_default();
        let slash = if folder.is_empty() { "" } else { "/" };
        format!("{folder}{slash}{name}@{}", self.digest)
    }
}

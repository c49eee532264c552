//! What is asked for.

use std::sync::Arc;

use miette::Diagnostic;
use smolvm_manifest::LockedPackage;
use thiserror::Error;

/// The largest file that is fetched when nobody said how large it is: well above any kernel, well below a disk.
const LARGEST_UNSIZED: u64 = 2 << 30;

/// One file whose content is known by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What people call it, in messages and progress.
    pub name: Arc<str>,
    /// Path below the mirror's address; empty if the mirror's address is the file's own.
    pub path: String,
    /// Its size in bytes, where that is known beforehand.
    pub size: Option<u64>,
    /// What its content must hash to.
    pub sha256: [u8; 32],
    /// The largest size that is accepted where `size` is not known.
    pub max_size: u64,
    /// The lock's entry that asks for it, where it is a package.
    pub package: Option<WantedPackage>,
    /// Where it lies in a folder that `smolvm vendor` filled: `<archive>/<path>`. What has no place there is not taken from there.
    pub vendored: Option<String>,
}

/// What a lock says of a package beside its content: for the message that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPackage {
    /// Its version.
    pub version: String,
    /// The archive that it is from.
    pub archive: String,
}

/// One file whose content nobody knows beforehand: a signed index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedIndex {
    /// What people call it, in messages and progress.
    pub name: Arc<str>,
    /// Path below the mirror's address.
    pub path: String,
    /// The largest size that is accepted.
    pub max_size: u64,
}

/// A request that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum WantedError {
    /// The digest is not 64 hexadecimal digits.
    #[error("the sha256 of {name} is not 64 hexadecimal digits")]
    #[diagnostic(code(smolvm::fetch::bad_digest), help("the lock or index that names it is damaged; make it anew"))]
    BadDigest {
        /// The file.
        name: String,
    },
    /// The path leads out of the archive.
    #[error("the path of {name} is `{path}`, which leads out of its archive")]
    #[diagnostic(
        code(smolvm::fetch::bad_path),
        help("the lock or index that names it is not to be trusted; make it anew")
    )]
    BadPath {
        /// The file.
        name: String,
        /// The path.
        path: String,
    },
}

impl Wanted {
    /// A file by path, size and digest (64 hexadecimal digits).
    pub fn new(name: &str, path: &str, size: Option<u64>, sha256: &str) -> Result<Self, WantedError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(sha256, &mut digest).map_err(|_| WantedError::BadDigest { name: name.to_owned() })?;
        Ok(Self {
            name: name.into(),
            path: checked(name, path)?,
            size,
            sha256: digest,
            max_size: size.unwrap_or(LARGEST_UNSIZED),
            package: None,
            vendored: None,
        })
    }

    /// The file of a locked package.
    pub fn package(package: &LockedPackage) -> Result<Self, WantedError> {
        let wanted = Self::new(&package.name, &package.path, Some(package.size), &package.sha256)?;
        let mut wanted = wanted.vendored_at(&package.archive, &package.path)?;
        let (version, archive) = (package.version.clone(), package.archive.clone());
        wanted.package = Some(WantedPackage { version, archive });
        Ok(wanted)
    }

    /// With a place in folders that `smolvm vendor` fills.
    pub fn vendored_at(mut self, archive: &str, path: &str) -> Result<Self, WantedError> {
        let place = format!("{archive}/{}", checked(&self.name, path)?);
        // The archive is one folder's name, whatever a lock says.
        if archive.is_empty() || archive.contains('/') || path.is_empty() {
            return Err(WantedError::BadPath { name: self.name.to_string(), path: place });
        }
        self.vendored = Some(checked(&self.name, &place)?);
        Ok(self)
    }

    /// The largest number of bytes that its content can have.
    pub(crate) fn limit(&self) -> u64 {
        self.size.unwrap_or(self.max_size)
    }
}

impl WantedIndex {
    /// An index by its path.
    pub fn new(name: &str, path: &str, max_size: u64) -> Result<Self, WantedError> {
        Ok(Self { name: name.into(), path: checked(name, path)?, max_size })
    }
}

fn checked(name: &str, path: &str) -> Result<String, WantedError> {
    let leads_out = path.split('/').any(|part| matches!(part, "." | "..")) || path.contains(['\\', '\0', '\n']);
    if leads_out {
        return Err(WantedError::BadPath { name: name.to_owned(), path: path.to_owned() });
    }
    Ok(path.trim_start_matches('/').to_owned())
}

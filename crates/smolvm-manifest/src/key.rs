//! Digests over what was asked: the lock's question and the build key.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::base::Base;
use crate::lock::Lock;
use crate::manifest::{Arch, KernelChoice, Manifest, PackageRequest, Repository};

/// What a lock answers: every field that resolving reads.
#[derive(Serialize)]
struct Question<'a> {
    version: u32,
    base: &'a Base,
    arch: Arch,
    packages: &'a [PackageRequest],
    repositories: &'a [Repository],
    ssh: bool,
    kernel: &'a KernelChoice,
}

/// Digest of those parts of a manifest that a lock answers: base, architecture, packages, repositories with their keys,
/// whether SSH is on, and the choice of kernel. Hex blake3.
pub fn question(manifest: &Manifest) -> String {
    digest(&Question {
        version: Lock::VERSION,
        base: &manifest.base,
        arch: manifest.arch,
        packages: &manifest.packages,
        repositories: &manifest.repositories,
        ssh: manifest.ssh.is_some(),
        kernel: &manifest.kernel,
    })
}

/// blake3 of what something says, as JSON without white space, hex.
pub(crate) fn digest(material: &impl Serialize) -> String {
    let mut hasher = blake3::Hasher::new();
    #[expect(clippy::expect_used, reason = "structs of text, numbers and maps with text keys always serialise")]
    serde_json::to_writer(&mut hasher, material).expect("key material is plain data");
    hasher.finalize().to_hex().to_string()
}

/// The digest that names an image or a layer in the store: 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildKey(String);

impl BuildKey {
    pub(crate) const fn of(digest: String) -> Self {
        Self(digest)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is no build key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a build key is 64 characters of 0-9 and a-f")]
pub struct NotABuildKey;

impl FromStr for BuildKey {
    type Err = NotABuildKey;

    fn from_str(text: &str) -> Result<Self, NotABuildKey> {
        let hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex { Ok(Self(text.to_owned())) } else { Err(NotABuildKey) }
    }
}

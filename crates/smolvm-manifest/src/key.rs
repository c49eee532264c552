//! Digests over what was asked: the lock's question and the build key.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::base::Base;
use crate::lock::{Lock, LockedManifest};
use crate::manifest::{
    Arch, FileEntry, KernelChoice, Manifest, PackageRequest, Repository, RunStep, Service, Size, Ssh, Tmp, User,
};

/// Goes up when the same key material would give other bytes: another ext4 writer, another canonical layer order.
const FORMAT_VERSION: u32 = 1;

/// Everything that can change the bytes of an image or what its record says, in canonical form: JSON of this struct, maps
/// sorted, no white space, hashed with blake3.
///
/// Comments, key order and white space of the YAML are gone by now, and values that were left out stand as their
/// defaults. The image's name is part of it, although the host name and the passwords' salt that come from it are listed
/// themselves: an image in the store has one name. Not part of it: where secrets come from (they never enter an image),
/// where sources lie on this machine, and the text of the Smolfile.
#[derive(Serialize)]
struct KeyMaterial<'a> {
    format: u32,
    engine: &'a str,
    recipe: &'a str,
    name: &'a str,
    base: &'a Base,
    arch: Arch,
    size: Size,
    packages: &'a [PackageRequest],
    repositories: &'a [Repository],
    ssh: &'a Option<Ssh>,
    env: &'a BTreeMap<String, String>,
    hostname: &'a str,
    users: &'a [User],
    files: &'a [FileEntry],
    run: &'a [RunStep],
    services: &'a [Service],
    dns: &'a [std::net::IpAddr],
    tmp: Tmp,
    kernel: &'a KernelChoice,
    boot_args: &'a [String],
    lock: &'a Lock,
}

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

impl LockedManifest {
    /// The key of the image that this makes: equal keys mean equal bytes.
    ///
    /// `engine` is the engine's name, `recipe` the digest of the templates that steps are rendered with.
    pub fn key(&self, engine: &str, recipe: &str) -> BuildKey {
        // Taken apart, so that a new field does not compile before somebody has decided whether it changes the bytes.
        let Manifest {
            document: _,
            name,
            base,
            arch,
            size,
            packages,
            repositories,
            ssh,
            env,
            hostname,
            users,
            files,
            run,
            secrets: _,
            services,
            dns,
            tmp,
            kernel,
            boot_args,
        } = &self.manifest;
        BuildKey(digest(&KeyMaterial {
            format: FORMAT_VERSION,
            engine,
            recipe,
            name,
            base,
            arch: *arch,
            size: *size,
            packages,
            repositories,
            ssh,
            env,
            hostname,
            users,
            files,
            run,
            services,
            dns,
            tmp: *tmp,
            kernel,
            boot_args,
            lock: &self.lock,
        }))
    }
}

/// blake3 of what something says, as JSON without white space, hex.
pub(crate) fn digest(material: &impl Serialize) -> String {
    let mut hasher = blake3::Hasher::new();
    #[expect(clippy::expect_used, reason = "structs of text, numbers and maps with text keys always serialise")]
    serde_json::to_writer(&mut hasher, material).expect("key material is plain data");
    hasher.finalize().to_hex().to_string()
}

/// The digest that names an image in the store: 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildKey(String);

impl BuildKey {
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

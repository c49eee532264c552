//! Alpine where no Alpine mirror can be reached: the packages of its mini root file system and a few more, published again
//! by a mirror on loopback and signed by a test key.
//!
//! ```text
//! alpine-minirootfs.tar.gz ──▶ Minirootfs ── repack ──▶ 14 Apk ─┐
//! hello, greeting, iproute2, openssh ─── extra ───────▶  4 Apk ─┴─▶ Repository ──▶ v3.20/main/x86_64/*.apk
//! ```
//!
//! A test begins with [`AlpineMirror::start`], and gives its address and key to apk: in `/etc/apk/repositories` and
//! `/etc/apk/keys`, or as a `repositories` entry of a Smolfile.

mod apk;
mod apt_source;
mod chroot;
mod docker;
mod extra;
mod installed;
mod minirootfs;
mod openssh;
mod repack;
mod repository;
mod signing_key;
mod tests;

use crate::mirror::Mirror;
use minirootfs::Minirootfs;
use repository::Repository;
use signing_key::SigningKey;

/// The release that the mini root file system is of: the folder of the mirror that holds its repositories.
const BRANCH: &str = "v3.20";

/// A mirror of one Alpine release. It serves as long as this lives.
pub(crate) struct AlpineMirror {
    pub(crate) minirootfs: Minirootfs,
    /// The server, which can be told to misbehave.
    pub(crate) server: Mirror,
    key: SigningKey,
    folder: tempfile::TempDir,
}

impl AlpineMirror {
    /// Makes the packages and serves them; `None`, with the reason on stderr, where something that it takes is not here.
    ///
    /// The first call on a machine builds OpenSSH, which takes half a minute.
    pub(crate) fn start() -> Option<Self> {
        let minirootfs = Minirootfs::read()?;
        let openssh = openssh::package(&minirootfs)?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let key = SigningKey::generate();
        let mut main = Repository::new(&folder.path().join(BRANCH).join("main"), &key);
        let packages = repack::packages(&minirootfs).into_iter().chain(extra::packages()).chain([openssh]);
        packages.for_each(|package| main.add(&package));
        main.write();
        // Where a release is asked for its packages, it is asked for both repositories.
        Repository::new(&folder.path().join(BRANCH).join("community"), &key).write();
        let server = Mirror::start(folder.path());
        Some(Self { minirootfs, server, key, folder })
    }

    /// What stands before `/main` and `/community`: the `url` of a Smolfile's `repositories` entry named `alpine`.
    pub(crate) fn address(&self) -> String {
        format!("{}/{BRANCH}", self.server.address())
    }

    /// The text of `/etc/apk/repositories`.
    pub(crate) fn repositories(&self) -> String {
        format!("{0}/main\n{0}/community\n", self.address())
    }

    /// The public key, in PEM: what lies in `/etc/apk/keys`, and what `signed_by` holds.
    pub(crate) fn public_key(&self) -> String {
        self.key.public_pem()
    }

    /// The name that the key's file must have: signatures refer to it.
    pub(crate) fn key_file(&self) -> &str {
        self.key.file_name()
    }

    /// What is served.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

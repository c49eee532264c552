//! What a build is told, and what it gives back.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use smolvm_fetch::{Retries, Timeouts};
use smolvm_manifest::Layer;

use crate::Host;

/// What to build and where to keep things.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The manifest.
    pub smolfile: PathBuf,
    /// The folder of the image store. Created if missing.
    pub image_dir: PathBuf,
    /// The folder of the download cache. Created if missing.
    pub cache_dir: PathBuf,
    /// Also put kernel, initrd, root file system and a run configuration here.
    pub output: Option<PathBuf>,
    /// Which engine builds.
    pub engine: EngineChoice,
    /// Use the download cache alone.
    pub offline: bool,
    /// Build from a current lock, or not at all.
    pub locked: bool,
    /// What is taken from the store.
    pub cache: CacheUse,
    /// Take what the lock names from this folder alone, which [`vendor`](crate::vendor()) filled: no mirror, no cache, no index.
    pub mirror_dir: Option<PathBuf>,
    /// How many bytes of memory the files of a build in progress may take, half of what is available unless said; beyond that they lie
    /// on the disk of the store. The embedded engine's.
    pub scratch_memory: Option<u64>,
    /// How often a mirror is asked before the next one is, or the build fails.
    pub retries: Retries,
    /// How long a mirror may take.
    pub timeouts: Timeouts,
    /// What is known of this machine.
    pub host: Host,
}

impl BuildOptions {
    /// Options for a manifest, with the store and the download cache at their usual places in the host's home folder
    /// (`~/.smolvm/images`, `~/.cache/smolvm`; the current folder's `.smolvm` where there is no home).
    pub fn new(smolfile: impl Into<PathBuf>, host: Host) -> Self {
        Self {
            smolfile: smolfile.into(),
            image_dir: host.image_dir(),
            cache_dir: host.cache_dir(),
            output: None,
            engine: EngineChoice::Auto,
            offline: false,
            locked: false,
            cache: CacheUse::Use,
            mirror_dir: host.mirror_dir(),
            scratch_memory: None,
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            host,
        }
    }

    /// The lock that belongs to the manifest: `X.lock` beside `X.yaml`.
    pub fn lock_path(&self) -> PathBuf {
        self.smolfile.with_extension("lock")
    }
}

/// What a build takes from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheUse {
    /// The image, or the layers of it that are there.
    #[default]
    Use,
    /// Nothing: all of it is made, and replaces what is there.
    Refresh,
    /// What is there; then all of it is made once more elsewhere, and an image that differs is refused.
    Verify,
}

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The embedded engine where it can: a Debian or Ubuntu base, on Linux with user namespaces. Docker elsewhere.
    #[default]
    Auto,
    /// smolvm itself.
    Embedded,
    /// A Docker daemon.
    Docker,
}

/// A bootable image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuiltImage {
    /// The image's name.
    pub name: String,
    /// The build key: 64 hex digits.
    pub key: String,
    /// Whether it was in the store already.
    pub cached: bool,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial ram disk.
    pub initrd: Option<PathBuf>,
    /// The root file system: an ext4 image.
    pub rootfs: PathBuf,
    /// The kernel command line for QEMU.
    pub boot_args: String,
    /// blake3 of the root file system, hex.
    pub rootfs_blake3: String,
    /// Size of the root file system in bytes.
    pub size_bytes: u64,
    /// Bytes that it occupies on disk.
    pub disk_bytes: u64,
    /// The layers that it was made of.
    pub layers: Vec<BuiltLayer>,
    /// Milliseconds that this took.
    #[serde(rename = "duration_ms", serialize_with = "as_milliseconds")]
    pub duration: Duration,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuiltLayer {
    /// Which.
    pub name: Layer,
    /// The hash of all that decides it.
    pub key: String,
    /// Whether it, or what lies on it, was in the cache.
    pub cached: bool,
}

fn as_milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

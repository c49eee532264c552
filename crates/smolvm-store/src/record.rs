//! `image.json`: what an image is. No time, no machine, no person is in it: two builds of one key write the same bytes.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use smolvm_manifest::{Arch, Layer, LayerInputs};

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecord {
    /// The format of this record: [`ImageRecord::FORMAT`].
    pub format: u32,
    /// The name that the manifest gives it. Other names may mean the same image.
    pub name: String,
    /// The build key.
    pub key: String,
    /// The architecture of the image.
    pub arch: Arch,
    /// What it started from, as the Smolfile spells it.
    pub base: String,
    /// The whole kernel command line for QEMU.
    pub boot_args: String,
    /// The words of that command line that the Smolfile added.
    pub extra_boot_args: Vec<String>,
    /// Whether it has SSH.
    pub ssh: bool,
    /// The kernel.
    pub kernel: BlobRecord,
    /// The initial ram disk.
    pub initrd: Option<BlobRecord>,
    /// The root file system.
    pub rootfs: BlobRecord,
    /// Bytes that the root file system occupies on disk; the rest of its size is holes.
    pub disk_bytes: u64,
    /// Whether another build of this key gives the same bytes.
    pub reproducible: Reproducible,
    /// Where the kernel came from.
    pub kernel_source: String,
    /// How many packages are installed.
    pub packages: u64,
    /// The layers that it was made of, the lowest first.
    pub layers: Vec<LayerRecord>,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobRecord {
    /// Its name in the image's folder.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// blake3 of its content, hex.
    pub blake3: String,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecord {
    /// Which.
    pub name: Layer,
    /// The hash of all that decides it.
    pub key: String,
    /// All that decides it and none of those below.
    pub inputs: LayerInputs,
}

/// Whether another build of the same key gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Reproducible {
    /// Every input is in the key.
    Proven,
    /// These steps had an input that nobody declared.
    Unproven {
        /// The steps, as the Smolfile words them.
        steps: Vec<String>,
    },
}

impl ImageRecord {
    /// The format that this code writes and reads.
    pub const FORMAT: u32 = 2;

    /// The file that holds a record.
    pub(crate) const FILE: &'static str = "image.json";

    /// The files that the record speaks of.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRecord> {
        [Some(&self.kernel), self.initrd.as_ref(), Some(&self.rootfs)].into_iter().flatten()
    }
}

impl BlobRecord {
    /// The kernel's file.
    pub const KERNEL: &'static str = "kernel";
    /// The initial ram disk's file.
    pub const INITRD: &'static str = "initrd";
    /// The root file system's file.
    pub const ROOTFS: &'static str = "rootfs.ext4";

    /// The record of a file that was just written, by reading all of it. For a file whose hash is known from writing it,
    /// fill in the fields instead.
    pub fn of(folder: &Path, file: &str) -> io::Result<Self> {
        let path = folder.join(file);
        let size = fs_err::metadata(&path)?.len();
        Ok(Self { file: file.to_owned(), size, blake3: hash(&path)? })
    }
}

/// blake3 of a file, on all processors. Its holes are not read: they are zeros.
pub(crate) fn hash(path: &Path) -> io::Result<String> {
    let file = fs_err::File::open(path)?;
    let hash = smolvm_rootfs::hash_sparse(file.file()).map_err(|error| crate::durable::at(path, &error))?;
    Ok(hash.to_hex().to_string())
}

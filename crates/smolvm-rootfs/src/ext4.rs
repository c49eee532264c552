//! The tree as an ext4 file system in a sparse file: deterministic, nothing written twice, with no mount and no root.

mod acl;
mod declare;
mod error;
mod holes;
mod size;
mod stream;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;

pub use error::Ext4Error;
pub(crate) use holes::data_ranges;

use crate::RootTree;
use declare::Declared;
use stream::Metadata;

/// What the bytes of the file system depend on beside the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Options {
    /// How large the image is.
    pub size: Ext4Size,
    /// Of the file system.
    pub uuid: [u8; 16],
    /// Seed of the hashes by which large folders are indexed.
    pub hash_seed: [u8; 16],
    /// Time of the file system itself and of `lost+found`, seconds since 1970. The tree's own times are written as they are: see
    /// [`RootTree::clamp_times`].
    pub epoch: i64,
    /// At most 16 bytes.
    pub label: String,
}

/// How large the image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ext4Size {
    /// This many bytes, rounded up to a whole MiB.
    Fixed(u64),
    /// What the tree takes, a fifth more and 64 MiB, beside what the file system itself needs; a multiple of 1 MiB.
    Auto,
}

impl Ext4Options {
    /// The length of the image that these options and this tree ask for, in bytes.
    pub fn size_bytes(&self, tree: &RootTree) -> Result<u64, Ext4Error> {
        match self.size {
            Ext4Size::Fixed(bytes) => Ok(size::whole(bytes)),
            Ext4Size::Auto => Ok(size::automatic_size(&Declared::new(tree)?)),
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ext4Summary {
    /// Length of the image.
    pub size_bytes: u64,
    /// What the image takes on the host: it has holes where nothing is.
    pub disk_bytes: u64,
    /// Of the whole image, holes included.
    pub blake3: blake3::Hash,
}

/// Writes the tree as ext4 over whatever the file held before.
///
/// The same tree and options give the same bytes, wherever the content lies. Nothing is synced.
///
/// It takes the time of reading, hashing and writing all that is not a hole, on all cores and with a MiB of memory for each beside the metadata.
/// Past the page cache where the file system of the file can do that.
/// Holes cost nothing in the first 4 GiB. From there to 256 GiB the 64 MiB around each piece of data or metadata are hashed whole, which is
/// two seconds for an image of 200 GiB, and beyond that everything is, at a second for each few GiB. When `stop` becomes true meanwhile,
/// [`Ext4Error::Stopped`] comes back soon.
pub fn write_ext4(
    tree: &RootTree,
    options: &Ext4Options,
    file: &File,
    stop: &AtomicBool,
) -> Result<Ext4Summary, Ext4Error> {
    let declared = Declared::new(tree)?;
    let (size_bytes, sealed) = size::seal(&declared, options)?;

    let mut metadata = Metadata::default();
    // Only the metadata is taken from mkext4's writer: `stream` lays the content between it block by block, from which the
    // hash can be computed without reading anything back.
    sealed.layout.writer(&mut metadata).map_err(Ext4Error::from_mkext4)?;
    file.set_len(0).and_then(|()| file.set_len(size_bytes)).map_err(Ext4Error::Write)?;
    let blake3 = stream::write(file, size_bytes, &metadata, &declared.contents, &sealed.segments(), stop)?;

    let disk_bytes = file.metadata().map_err(Ext4Error::Write)?.blocks() * 512;
    Ok(Ext4Summary { size_bytes, disk_bytes, blake3 })
}

//! A root file system as data, and its ext4, tar, cpio and listing forms.

mod archive;
mod cpio;
mod ext4;
mod listing;
mod packed;
mod sparse_hash;
mod tree;

pub use archive::write_tar;
pub use cpio::{CpioWriter, DeviceKind};
pub use ext4::{Ext4Error, Ext4Options, Ext4Size, Ext4Summary, write_ext4};
pub use listing::{digest, write_listing};
pub use packed::{ChangedContent, PackWriter, PackedTree};
pub use sparse_hash::hash_sparse;
pub use tree::{Content, Inode, InodeId, Kind, RootTree, TreeError};

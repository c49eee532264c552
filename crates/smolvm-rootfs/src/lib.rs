//! A root file system as data, and its ext4, tar, cpio and listing forms.

mod ext4;
mod tree;

pub use ext4::{Ext4Error, Ext4Options, Ext4Size, Ext4Summary, write_ext4};
pub use tree::{Content, Inode, InodeId, Kind, RootTree, TreeError};

//! A root file system as data, and its ext4, tar, cpio and listing forms.

mod tree;

pub use tree::{Content, Inode, InodeId, Kind, RootTree, TreeError};

//! The form in which a tree travels: to a file of a cached layer, or from the sandbox.

use serde::{Deserialize, Serialize};

use super::edit::normal;
use super::{Inode, InodeId, RootTree, TreeError};

#[derive(Serialize, Deserialize)]
pub(super) struct Parts {
    entries: Vec<(String, InodeId)>,
    inodes: Vec<Inode>,
}

impl From<RootTree> for Parts {
    fn from(tree: RootTree) -> Self {
        Self { entries: tree.entries.into_iter().collect(), inodes: tree.inodes }
    }
}

impl TryFrom<Parts> for RootTree {
    type Error = TreeError;

    fn try_from(parts: Parts) -> Result<Self, TreeError> {
        let damaged = |reason| TreeError::Damaged { reason };
        let mut tree = Self { entries: parts.entries.into_iter().collect(), inodes: parts.inodes };
        if tree.entries.values().any(|id| tree.inodes.get(id.0 as usize).is_none()) {
            return Err(damaged("a path names an inode that is missing"));
        }
        if !tree.get("").is_some_and(Inode::is_directory) {
            return Err(damaged("the root folder is missing"));
        }
        let mut directory_names = vec![0_u32; tree.inodes.len()];
        for (path, id) in &tree.entries {
            if normal(path)? != path.as_str() {
                return Err(damaged("a path is not in its normal form"));
            }
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if !tree.get(parent).is_some_and(Inode::is_directory) {
                return Err(damaged("a path has no parent folder"));
            }
            directory_names[id.0 as usize] += u32::from(tree.inodes[id.0 as usize].is_directory());
        }
        if directory_names.iter().any(|names| *names > 1) {
            return Err(damaged("a folder has two names"));
        }
        for inode in &mut tree.inodes {
            inode.mode &= 0o7777;
        }
        Ok(tree)
    }
}

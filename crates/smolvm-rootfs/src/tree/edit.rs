//! Changing a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Content, Inode, InodeId, Kind, RootTree, TreeError};

/// ext4's own limit, and Linux's.
const LONGEST_NAME: usize = 255;
/// Linux's limit for a path given to a system call: a longer one could not be named in the guest.
const LONGEST_PATH: usize = 4095;

impl RootTree {
    /// A tree that holds only its root folder (mode 755, owned by root, with this time).
    pub fn new(epoch: i64) -> Self {
        let root = Inode::new(Kind::Directory, 0o755, 0, 0, epoch);
        Self { entries: BTreeMap::from([(String::new(), InodeId(0))]), inodes: vec![root] }
    }

    /// Puts an inode under a path, whose parent must be a folder of the tree (symbolic links are not followed: see
    /// [`RootTree::place`]).
    ///
    /// What was there before gives way, except that a folder only gives way to a folder, and then keeps what is in it.
    pub fn insert(&mut self, path: &str, inode: Inode) -> Result<InodeId, TreeError> {
        let path = self.vacancy(path, inode.is_directory())?;
        let mut inode = inode;
        inode.mode &= 0o7777;
        if inode.is_directory()
            && let Some(id) = self.entries.get(path.as_ref()).copied()
            && self.inodes[id.0 as usize].is_directory()
        {
            self.inodes[id.0 as usize] = inode;
            return Ok(id);
        }
        let too_many = |_| TreeError::Damaged { reason: "it has more than 4294967295 inodes" };
        let id = InodeId(u32::try_from(self.inodes.len()).map_err(too_many)?);
        self.inodes.push(inode);
        self.entries.insert(path.into_owned(), id);
        Ok(id)
    }

    /// Gives an inode that is no folder one more name: a hard link.
    pub fn link(&mut self, path: &str, id: InodeId) -> Result<(), TreeError> {
        if self.inodes[id.0 as usize].is_directory() {
            return Err(TreeError::Path { path: path.to_owned(), reason: "a folder cannot have two names" });
        }
        let path = self.vacancy(path, false)?;
        self.entries.insert(path.into_owned(), id);
        Ok(())
    }

    /// Takes a path out of the tree, with all that is below it. Tells whether it was there. The root folder stays.
    pub fn remove(&mut self, path: &str) -> bool {
        let Ok(path) = normal(path) else { return false };
        if path.is_empty() || self.entries.remove(path.as_ref()).is_none() {
            return false;
        }
        let below: Vec<String> = self.below(&path).map(|(path, _, _)| path.to_owned()).collect();
        for path in below {
            self.entries.remove(&path);
        }
        true
    }

    /// The inode under a path, to change it. Links are not followed; every hard link of it changes too.
    ///
    /// A folder must stay a folder.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Inode> {
        let id = self.id(path)?;
        Some(&mut self.inodes[id.0 as usize])
    }

    /// Writes a small file under a path, following the links of its folders and making those that are missing (mode
    /// 755, owned by root, with the file's time). What was there before, a link too, is replaced. Returns the path that the
    /// file really has.
    pub fn write_file(
        &mut self,
        path: &str,
        bytes: impl Into<std::sync::Arc<[u8]>>,
        mode: u32,
        uid: u32,
        gid: u32,
        mtime: i64,
    ) -> Result<String, TreeError> {
        let path = self.place(path)?;
        self.create_parents(&path, mtime)?;
        self.insert(&path, Inode::new(Kind::File(Content::bytes(bytes)), mode, uid, gid, mtime))?;
        Ok(path)
    }

    /// Makes the folders above a path that are missing (mode 755, owned by root). The path must come from
    /// [`RootTree::place`], or have no links in it.
    pub fn create_parents(&mut self, path: &str, mtime: i64) -> Result<(), TreeError> {
        let path = normal(path)?.into_owned();
        for (slash, _) in path.match_indices('/') {
            let parent = &path[..slash];
            match self.get(parent) {
                Some(inode) if inode.is_directory() => {}
                Some(_) => return Err(TreeError::NotDirectory { path: parent.to_owned() }),
                None => {
                    self.insert(parent, Inode::new(Kind::Directory, 0o755, 0, 0, mtime))?;
                }
            }
        }
        Ok(())
    }

    /// No time is later than the epoch afterwards.
    pub fn clamp_times(&mut self, epoch: i64) {
        for inode in &mut self.inodes {
            inode.mtime = inode.mtime.min(epoch);
        }
    }

    /// Checks that something may be put under this path.
    fn vacancy<'a>(&self, path: &'a str, directory: bool) -> Result<Cow<'a, str>, TreeError> {
        let path = normal(path)?;
        if path.is_empty() && !directory {
            return Err(TreeError::IsDirectory { path: String::new() });
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        match self.get(parent) {
            Some(inode) if inode.is_directory() => {}
            Some(_) => return Err(TreeError::NotDirectory { path: parent.to_owned() }),
            None => return Err(TreeError::NotFound { path: parent.to_owned() }),
        }
        if !directory && self.get(&path).is_some_and(Inode::is_directory) {
            return Err(TreeError::IsDirectory { path: path.into_owned() });
        }
        Ok(path)
    }
}

/// The path as it is kept: no leading, double or trailing slash, no `.`; `..` and impossible names are refused.
pub(super) fn normal(path: &str) -> Result<Cow<'_, str>, TreeError> {
    let refuse = |reason| Err(TreeError::Path { path: path.to_owned(), reason });
    if path.len() > LONGEST_PATH {
        return refuse("it is longer than 4095 bytes");
    }
    if path.contains('\0') {
        return refuse("it contains a NUL byte");
    }
    let mut plain = true;
    for name in path.split('/') {
        match name {
            "" | "." => plain = false,
            ".." => return refuse("it contains `..`"),
            name if name.len() > LONGEST_NAME => return refuse("a name in it is longer than 255 bytes"),
            _ => {}
        }
    }
    if plain || path.is_empty() {
        return Ok(Cow::Borrowed(path));
    }
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    Ok(Cow::Owned(names.join("/")))
}

//! Reading a tree.

use std::io;
use std::ops::Bound;

use super::edit::normal;
use super::{Inode, InodeId, Kind, RootTree, TreeError};

/// As many links in one path as Linux follows.
const MOST_LINKS: usize = 40;

impl RootTree {
    /// The inode under a path. Links are not followed: see [`RootTree::resolve`].
    pub fn get(&self, path: &str) -> Option<&Inode> {
        self.id(path).map(|id| self.inode(id))
    }

    /// The id of the inode under a path. Links are not followed.
    pub fn id(&self, path: &str) -> Option<InodeId> {
        if let Some(id) = self.entries.get(path) {
            return Some(*id);
        }
        self.entries.get(normal(path).ok()?.as_ref()).copied()
    }

    /// The inode of an id that this tree gave out.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    /// Every path with its inode, sorted by the bytes of the path, so that a folder comes before what it holds. The root
    /// folder is first, under the empty path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, InodeId, &Inode)> + Clone {
        self.entries.iter().map(|(path, id)| (path.as_str(), *id, self.inode(*id)))
    }

    /// How many paths there are, the root folder among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing but the root folder.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 1
    }

    /// Everything below a folder, at any depth, sorted.
    pub fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, InodeId, &'a Inode)> + use<'a> {
        let path = normal(path).unwrap_or_default();
        // `0` is the character after `/`.
        let (first, last) = if path.is_empty() {
            (Bound::Excluded(String::new()), Bound::Unbounded)
        } else {
            (Bound::Included(format!("{path}/")), Bound::Excluded(format!("{path}0")))
        };
        self.entries.range((first, last)).map(|(path, id)| (path.as_str(), *id, self.inode(*id)))
    }

    /// What a folder holds itself: names (not paths) and inodes, sorted. Nothing for what is no folder.
    pub fn children<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, InodeId, &'a Inode)> + use<'a> {
        let path = normal(path).unwrap_or_default();
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut cursor = if path.is_empty() { Bound::Excluded(String::new()) } else { Bound::Included(prefix.clone()) };
        std::iter::from_fn(move || {
            loop {
                let (path, id) = self.entries.range((cursor.clone(), Bound::Unbounded)).next()?;
                let name = path.strip_prefix(prefix.as_str())?;
                if let Some((folder, _)) = name.split_once('/') {
                    // Past everything in that folder, which had its turn when its own name came by.
                    cursor = Bound::Included(format!("{prefix}{folder}0"));
                    continue;
                }
                cursor = Bound::Excluded(path.clone());
                return Some((name, *id, self.inode(*id)));
            }
        })
    }

    /// The path that remains when every symbolic link is followed inside the tree, as a process in the guest would: an absolute
    /// target begins at the tree's root, and `..` ends there. What it names exists.
    pub fn resolve(&self, path: &str) -> Result<String, TreeError> {
        self.follow(path, LastName::Follow)
    }

    /// The path that something new would have: the links of its folders are followed, its last name is not, and folders that do
    /// not exist yet are taken as written.
    pub fn place(&self, path: &str) -> Result<String, TreeError> {
        let path = normal(path)?;
        self.follow(&path, LastName::Keep)
    }

    /// The bytes of a file; links are followed.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let real = self.resolve(path)?;
        match self.get(&real).map(|inode| &inode.kind) {
            Some(Kind::File(content)) => content.read(),
            Some(Kind::Directory) => Err(TreeError::IsDirectory { path: real }.into()),
            _ => Err(TreeError::Path { path: real, reason: "it is not a regular file" }.into()),
        }
    }

    fn follow(&self, asked: &str, last_name: LastName) -> Result<String, TreeError> {
        let mut done = String::new();
        let mut ahead: Vec<String> = asked.rsplit('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.truncate(done.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent = done.len();
            if parent > 0 {
                done.push('/');
            }
            done.push_str(&name);
            match self.entries.get(&done).map(|id| &self.inode(*id).kind) {
                Some(Kind::Symlink(target)) if last_name == LastName::Follow || !ahead.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(TreeError::LinkLoop { path: normal(asked)?.into_owned() });
                    }
                    done.truncate(if target.starts_with('/') { 0 } else { parent });
                    ahead.extend(target.rsplit('/').map(str::to_owned));
                }
                Some(Kind::Directory) => {}
                Some(_) if ahead.iter().any(|name| !matches!(name.as_str(), "" | ".")) => {
                    return Err(TreeError::NotDirectory { path: done });
                }
                Some(_) => {}
                None if last_name == LastName::Keep => {}
                None => return Err(TreeError::NotFound { path: done }),
            }
        }
        Ok(done)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LastName {
    Follow,
    Keep,
}

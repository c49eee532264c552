//! Work folders of engines, and finding those that killed builds left behind.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::lock::Locked;
use crate::names::entries;
use crate::staging::unique;
use crate::store::Store;

/// A work folder on the store's file system. It can hold files that belong to the sub-ids of the building user, so only
/// the engine can remove it: with [`Scratch::close`], or, if it never came to that, when a later build calls
/// [`Store::sweep_scratch`].
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: Locked,
}

/// What became of the work folders of killed builds.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many were removed.
    pub removed: usize,
    /// Those that could not be removed. The next sweep tries again.
    pub failed: Vec<(PathBuf, io::Error)>,
}

impl Store {
    /// An empty work folder, this process's own until it is closed or the process ends.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        self.make_scratch().map_err(|error| self.error(error))
    }

    /// Hands the work folders of killed builds to `remove`, which must remove them.
    pub fn sweep_scratch(&self, mut remove: impl FnMut(&Path) -> io::Result<()>) -> Result<Swept, StoreError> {
        let root = self.scratch_root();
        let mut swept = Swept::default();
        for name in entries(&root).map_err(|error| self.error(error))? {
            let Some(id) = name.strip_suffix(".lock") else { continue };
            let lock_path = root.join(&name);
            let Some(_lock) = Locked::try_file(&lock_path).map_err(|error| self.error(error))? else { continue };
            let folder = root.join(id);
            match remove_with(&folder, &lock_path, &mut remove) {
                Ok(()) => swept.removed += 1,
                Err(error) => swept.failed.push((folder, error)),
            }
        }
        Ok(swept)
    }

    fn make_scratch(&self) -> io::Result<Scratch> {
        let root = self.scratch_root();
        loop {
            let id = unique();
            let (folder, lock_path) = (root.join(&id), root.join(format!("{id}.lock")));
            // The lock comes before the folder and goes after it: a folder without one does not happen. The process
            // that had this number before may have left both; that one is for the sweep.
            let Some(lock) = Locked::try_file(&lock_path)? else { continue };
            match fs_err::create_dir(&folder) {
                Ok(()) => return Ok(Scratch { folder, lock_path, _lock: lock }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn scratch_root(&self) -> PathBuf {
        self.root().join("scratch")
    }
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Has the folder removed. If that fails, a later sweep tries again.
    pub fn close(self, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        remove_with(&self.folder, &self.lock_path, remove)
    }
}

fn remove_with(folder: &Path, lock_path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if std::fs::symlink_metadata(folder).is_ok() {
        remove(folder)?;
        if std::fs::symlink_metadata(folder).is_ok() {
            return Err(io::Error::other(format!("{} is still there", folder.display())));
        }
    }
    fs_err::remove_file(lock_path)
}

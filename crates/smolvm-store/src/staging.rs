//! Putting an image together where nobody sees it, and moving it to where everybody does.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::durable::{remove_folder, rename, seal, sync_folder, write_file};
use crate::error::StoreError;
use crate::image::{Image, Miss, what_is_wrong};
use crate::names::{check_name, entries};
use crate::record::ImageRecord;
use crate::store::{BuildLock, Store};
use smolvm_manifest::BuildKey;

/// An image being put together. Dropping it throws it away.
#[derive(Debug)]
pub struct Staging<'a> {
    store: &'a Store,
    lock: &'a BuildLock,
    folder: PathBuf,
    /// Whether the folder still is where it was made.
    is_here: bool,
}

impl Store {
    /// An empty folder to put an image together in; what killed builds left in such folders is removed.
    pub fn stage<'a>(&'a self, lock: &'a BuildLock) -> Result<Staging<'a>, StoreError> {
        let folder = self.stage_folder(lock)?;
        Ok(Staging { store: self, lock, folder, is_here: true })
    }

    pub(crate) fn stage_folder(&self, lock: &BuildLock) -> Result<PathBuf, StoreError> {
        self.sweep(Some(lock.key()))?;
        let folder = self.fresh_folder(lock.key());
        fs_err::create_dir_all(&folder).map_err(|error| self.error(error))?;
        Ok(folder)
    }

    /// A name in `staging/` that nobody has.
    pub(crate) fn fresh_folder(&self, key: &BuildKey) -> PathBuf {
        self.staging_root().join(format!("{key}.{}", unique()))
    }

    /// Removes the folders of images that killed builds were putting together, and says how many. Those of running builds stay.
    pub fn sweep_staging(&self) -> Result<usize, StoreError> {
        self.sweep(None)
    }

    /// Folders whose builder is gone are those of `ours` (its lock is held by the caller), and those of keys that nobody has locked.
    fn sweep(&self, ours: Option<&BuildKey>) -> Result<usize, StoreError> {
        let left = entries(&self.staging_root()).map_err(|error| self.error(error))?;
        let mut removed = 0;
        for name in left {
            let Some(Ok(key)) = name.split('.').next().map(str::parse::<BuildKey>) else { continue };
            let is_ours = ours == Some(&key);
            let lock = if is_ours { None } else { self.try_lock(&key)? };
            if is_ours || lock.is_some() {
                remove_folder(&self.staging_root().join(name)).map_err(|error| self.error(error))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Staging<'_> {
    /// Where to write the files, under the names that [`crate::BlobRecord`] has for them.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes the image that lies here an image of the store, under the name that its record has.
    ///
    /// If a whole image of this key is there already, that one stays: it may be in use, and it has the same content. With `replace`, it
    /// stays only if its record is the same; one that is not, and that is in use, is an error.
    pub fn commit(mut self, record: &ImageRecord, replace: bool, created: SystemTime) -> Result<Image, StoreError> {
        check_name(&record.name)?;
        let found = self.store.open_image(self.lock.key())?.ok().filter(|image| !replace || image.record() == record);
        let image = if let Some(image) = found {
            image
        } else {
            self.seal(record)?;
            let in_use = || StoreError::InUse {
                asked: record.name.clone(),
                user: "a virtual machine or a build runs from it".to_owned(),
            };
            let _old = self.store.take(&self.store.image_path(self.lock.key()), in_use)?;
            self.publish()?
        };
        self.store.name(&image, &record.name, created)?;
        Ok(image)
    }

    /// Sees everything onto the disk, the record last.
    fn seal(&self, record: &ImageRecord) -> Result<(), StoreError> {
        let seal_all = || -> io::Result<Option<String>> {
            if let Some(damage) = what_is_wrong(record, self.lock.key(), &self.folder)? {
                return Ok(Some(damage));
            }
            for blob in record.blobs() {
                seal(&self.folder.join(&blob.file))?;
            }
            let mut text = serde_json::to_vec_pretty(record)?;
            text.push(b'\n');
            write_file(&self.folder.join(ImageRecord::FILE), &text, 0o444)?;
            sync_folder(&self.folder)?;
            Ok(None)
        };
        match seal_all().map_err(|error| self.store.error(error))? {
            Some(damage) => Err(StoreError::Incomplete { damage }),
            None => Ok(()),
        }
    }

    /// Moves the folder to where images are. From here on it is found by its key.
    fn publish(&mut self) -> Result<Image, StoreError> {
        let key = self.lock.key();
        let place = self.store.image_path(key);
        let swap = || -> io::Result<PathBuf> {
            let aside = make_way(&place, self.store.fresh_folder(key))?;
            rename(&self.folder, &place)?;
            Ok(aside)
        };
        let aside = swap().map_err(|error| self.store.error(error))?;
        self.is_here = false;
        remove_folder(&aside).map_err(|error| self.store.error(error))?;
        match self.store.open_image(key)? {
            Ok(image) => Ok(image),
            Err(Miss::Damaged(damage)) => Err(StoreError::Incomplete { damage }),
            Err(Miss::Absent) => Err(StoreError::Incomplete { damage: "it was removed at once".to_owned() }),
        }
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if self.is_here {
            let _ = remove_folder(&self.folder);
        }
    }
}

/// Moves what is at a place (something damaged) aside. Where nothing is, nothing is done.
pub(crate) fn make_way(place: &Path, aside: PathBuf) -> io::Result<PathBuf> {
    match fs_err::rename(place, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(aside),
    }
}

/// A number that no other living process and no other call in this one has.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}.{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests;

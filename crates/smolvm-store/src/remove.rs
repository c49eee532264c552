//! Removing images.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::durable::{remove_folder, rename, sync_folder};
use crate::error::StoreError;
use crate::lock::Locked;
use crate::store::{Resolved, Store};
use smolvm_manifest::BuildKey;

/// Listings and lookups hold a lease for a moment; that is no use worth refusing for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Names that mean nothing any more.
    pub names: Vec<String>,
    /// The key that they meant.
    pub key: BuildKey,
    /// Names that still mean the image, which therefore stays.
    pub kept_for: Vec<String>,
    /// Bytes on disk that are free again.
    pub freed_bytes: u64,
}

impl Store {
    /// Removes an image by name, key or beginning of a key. By name, the image itself stays for as long as it has another name;
    /// by key, all its names go. Refused, with nothing changed, while it is in use or being built.
    pub fn remove(&self, asked: &str) -> Result<Removed, StoreError> {
        let in_use = |user: &str| StoreError::InUse { asked: asked.to_owned(), user: user.to_owned() };
        // Before anything is locked: what is not there leaves no trace in a store that is none.
        self.resolve(asked)?;
        let names_lock = self.names.lock().map_err(|error| self.error(error))?;
        let Resolved { name, key } = self.resolve(asked)?;
        let all: Vec<_> = self.names.all().map_err(|error| self.error(error))?;
        let all: Vec<_> = all.into_iter().filter(|named| named.key == key).map(|named| named.name).collect();
        let (going, staying): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|other| name.as_ref().is_none_or(|name| name == other));
        if !staying.is_empty() {
            self.names.remove(&names_lock, &going).map_err(|error| self.error(error))?;
            return Ok(Removed { names: going, key, kept_for: staying, freed_bytes: 0 });
        }
        let Some(build_lock) = self.try_lock(&key)? else { return Err(in_use("it is being built")) };
        let place = self.image_path(&key);
        let lease = self.take(&place, || in_use("a virtual machine or a build runs from it"))?;
        let aside = self.fresh_folder(&key);
        let remove = || -> io::Result<u64> {
            self.names.remove(&names_lock, &going)?;
            drop(names_lock);
            if lease.is_none() {
                return Ok(0);
            }
            rename(&place, &aside)?;
            sync_folder(&self.root().join("images"))?;
            // Whoever waits for the lease finds out now that the image is gone.
            drop(lease);
            let freed = bytes_on_disk(&aside)?;
            remove_folder(&aside)?;
            Ok(freed)
        };
        let freed_bytes = remove().map_err(|error| self.error(error))?;
        // While the lock is held: whoever waits for it notices that the file is gone, and makes a new one.
        let _ = std::fs::remove_file(self.lock_path(&key));
        drop(build_lock);
        Ok(Removed { names: going, key, kept_for: Vec::new(), freed_bytes })
    }
}

impl Store {
    /// Locks a folder alone, or says who uses it. `None` if there is no folder.
    pub(crate) fn take(&self, place: &Path, in_use: impl FnOnce() -> StoreError) -> Result<Option<Locked>, StoreError> {
        self.take_within(PATIENCE, place, in_use)
    }

    /// The same, with another patience.
    pub(crate) fn take_within(
        &self,
        patience: Duration,
        place: &Path,
        in_use: impl FnOnce() -> StoreError,
    ) -> Result<Option<Locked>, StoreError> {
        match Locked::take(place, patience) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use()),
            other => other.map_err(|error| self.error(error)),
        }
    }
}

pub(crate) fn bytes_on_disk(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs_err::read_dir(folder)? {
        // In units of 512 bytes, whatever the file system's own block size.
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

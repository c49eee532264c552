//! Cached layers: a listing of a tree, and the contents that no layer below it has.
//!
//! What a listing says is the engine's business; here it is bytes whose hash is known.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smolvm_manifest::BuildKey;

use crate::durable::{remove_folder, rename, seal, sync_folder, write_file};
use crate::error::StoreError;
use crate::lock::Locked;
use crate::names::entries;
use crate::remove::{PATIENCE, bytes_on_disk};
use crate::staging::make_way;
use crate::store::{BuildLock, Store};

const RECORD: &str = "layer.json";
const CONTENT: &str = "content";
const LISTING: &str = "listing";
/// The format of the record and of the listing.
const FORMAT: u32 = 1;

/// A whole layer, which nobody can remove for as long as this or a clone of it lives.
#[derive(Debug, Clone)]
pub struct CachedLayer {
    key: BuildKey,
    content: Arc<Path>,
    content_size: u64,
    listing: Arc<[u8]>,
    below: Vec<CachedLayer>,
    _lease: Arc<Locked>,
}

/// What a layer's folder holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    key: String,
    content_size: u64,
    listing_blake3: String,
    /// The layers whose contents the listing names too.
    below: Vec<String>,
}

/// A layer that is being written. Dropping it throws it away.
#[derive(Debug)]
pub struct LayerStaging<'a> {
    store: &'a Store,
    lock: &'a BuildLock,
    folder: PathBuf,
    is_here: bool,
}

/// Layers that were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedLayers {
    /// How many.
    pub layers: usize,
    /// Bytes on disk that are free again.
    pub freed_bytes: u64,
}

impl Store {
    /// The layer with this key, if it and all layers whose contents it names are there and whole. Sizes are compared, and the hash of the
    /// listing; contents are not hashed.
    pub fn layer(&self, key: &BuildKey) -> Result<Option<CachedLayer>, StoreError> {
        self.open_layer(key).map_err(|error| self.error(error))
    }

    /// An empty folder to write a layer into; what killed builds left in such folders is removed.
    pub fn stage_layer<'a>(&'a self, lock: &'a BuildLock) -> Result<LayerStaging<'a>, StoreError> {
        let folder = self.stage_folder(lock)?;
        Ok(LayerStaging { store: self, lock, folder, is_here: true })
    }

    /// Where the contents of a layer lie once it is committed.
    pub fn layer_content(&self, key: &BuildKey) -> PathBuf {
        self.layer_path(key).join(CONTENT)
    }

    /// Removes every layer that is not in use, but those that `keep` says yes to.
    pub fn remove_layers(&self, keep: impl Fn(&BuildKey) -> bool) -> Result<RemovedLayers, StoreError> {
        let mut removed = RemovedLayers::default();
        for name in entries(&self.layers_root()).map_err(|error| self.error(error))? {
            let Ok(key) = name.parse::<BuildKey>() else { continue };
            if keep(&key) {
                continue;
            }
            let Some(_lock) = self.try_lock(&key)? else { continue };
            if let Some(bytes) = self.remove_layer(&key).map_err(|error| self.error(error))? {
                removed.layers += 1;
                removed.freed_bytes += bytes;
            }
            let _ = std::fs::remove_file(self.lock_path(&key));
        }
        Ok(removed)
    }

    /// `None` for one that is in use, or gone.
    fn remove_layer(&self, key: &BuildKey) -> io::Result<Option<u64>> {
        let lease = match Locked::take(&self.layer_path(key), PATIENCE) {
            Ok(Some(lease)) => lease,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let aside = self.fresh_folder(key);
        rename(&self.layer_path(key), &aside)?;
        sync_folder(&self.layers_root())?;
        drop(lease);
        let freed = bytes_on_disk(&aside)?;
        remove_folder(&aside)?;
        Ok(Some(freed))
    }

    fn open_layer(&self, key: &BuildKey) -> io::Result<Option<CachedLayer>> {
        let folder = self.layer_path(key);
        let Some(lease) = Locked::lease(&folder)? else { return Ok(None) };
        let (Some(record), Some(listing)) = (read(&folder.join(RECORD))?, read(&folder.join(LISTING))?) else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_slice::<Record>(&record) else { return Ok(None) };
        let content = folder.join(CONTENT);
        let is_whole = record.format == FORMAT
            && record.key == key.as_str()
            && record.listing_blake3 == *blake3::hash(&listing).to_hex()
            && std::fs::symlink_metadata(&content)
                .is_ok_and(|found| found.is_file() && found.len() == record.content_size);
        if !is_whole {
            return Ok(None);
        }
        let mut below = Vec::new();
        for key in &record.below {
            let Ok(key) = key.parse::<BuildKey>() else { return Ok(None) };
            let Some(layer) = self.open_layer(&key)? else { return Ok(None) };
            below.push(layer);
        }
        Ok(Some(CachedLayer {
            key: key.clone(),
            content: content.into(),
            content_size: record.content_size,
            listing: listing.into(),
            below,
            _lease: Arc::new(lease),
        }))
    }

    fn layers_root(&self) -> PathBuf {
        self.root().join("layers")
    }

    fn layer_path(&self, key: &BuildKey) -> PathBuf {
        self.layers_root().join(key.as_str())
    }
}

impl CachedLayer {
    /// Its key.
    pub fn key(&self) -> &BuildKey {
        &self.key
    }

    /// The listing, as it was written.
    pub fn listing(&self) -> &[u8] {
        &self.listing
    }

    /// The file with the contents of a layer that the listing names by its key, and how long it is: this one's, or one's below.
    pub fn content_of(&self, key: &str) -> Option<(Arc<Path>, u64)> {
        if key == self.key.as_str() {
            return Some((Arc::clone(&self.content), self.content_size));
        }
        self.below.iter().find_map(|layer| layer.content_of(key))
    }
}

impl LayerStaging<'_> {
    /// The file to write contents to: empty, and in the folder already.
    pub fn content(&self) -> Result<std::fs::File, StoreError> {
        let path = self.folder.join(CONTENT);
        std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| self.store.error(crate::durable::at(&path, &error)))
    }

    /// Makes it a layer of the store. One that is damaged gives way.
    ///
    /// So does one that is whole and not in use, which only a build meets that was told to use no cache.
    pub fn commit(mut self, listing: &[u8], below: &[&BuildKey]) -> Result<CachedLayer, StoreError> {
        let key = self.lock.key();
        let in_use = || StoreError::InUse { asked: key.to_string(), user: "another build uses the layer".to_owned() };
        let _old = self.store.take(&self.store.layer_path(key), in_use)?;
        let publish = || -> io::Result<()> {
            seal(&self.folder.join(CONTENT))?;
            let record = Record {
                format: FORMAT,
                key: key.to_string(),
                content_size: fs_err::metadata(self.folder.join(CONTENT))?.len(),
                listing_blake3: blake3::hash(listing).to_hex().to_string(),
                below: below.iter().map(ToString::to_string).collect(),
            };
            write_file(&self.folder.join(LISTING), listing, 0o444)?;
            write_file(&self.folder.join(RECORD), &serde_json::to_vec_pretty(&record)?, 0o444)?;
            sync_folder(&self.folder)?;
            let place = self.store.layer_path(key);
            let aside = make_way(&place, self.store.fresh_folder(key))?;
            rename(&self.folder, &place)?;
            remove_folder(&aside)
        };
        publish().map_err(|error| self.store.error(error))?;
        self.is_here = false;
        let gone = || StoreError::Incomplete { damage: "the layer was removed at once".to_owned() };
        self.store.layer(key)?.ok_or_else(gone)
    }
}

impl Drop for LayerStaging<'_> {
    fn drop(&mut self) {
        if self.is_here {
            let _ = remove_folder(&self.folder);
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

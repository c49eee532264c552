//! Cached layers: a listing of a tree, and the contents that no layer below it has.
//!
//! What a listing says is the engine's business; here it is bytes whose hash is known.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smolvm_manifest::BuildKey;

use crate::durable::{remove_folder, rename, seal, sync_folder, write_file};
use crate::error::StoreError;
use crate::lock::Locked;
use crate::names::entries;
use crate::remove::{PATIENCE, bytes_on_disk};
use crate::staging::make_way;
use crate::store::{BuildLock, Store};

/// A build that uses the layer which is to be replaced ends soon.
const WHILE_BUILDING: Duration = Duration::from_mins(2);

const RECORD: &str = "layer.json";
const CONTENT: &str = "content";
const LISTING: &str = "listing";
const INPUTS: &str = "inputs";
/// The format of the record and of the listing.
const FORMAT: u32 = 2;

/// A whole layer, which nobody can remove for as long as this or a clone of it lives.
#[derive(Debug, Clone)]
pub struct CachedLayer {
    own: LayerContent,
    listing: Arc<[u8]>,
    below: Vec<LayerContent>,
}

/// The content of a layer, which stays where it is for as long as this or a clone of it lives.
#[derive(Debug, Clone)]
pub struct LayerContent {
    key: BuildKey,
    path: Arc<Path>,
    size: u64,
    listing_blake3: String,
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
    inputs_blake3: String,
    /// The layers whose contents the listing names too.
    below: Vec<Below>,
}

/// A layer whose contents another one uses. Made anew, it may have them in other places; then its listing is another one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Below {
    key: String,
    listing_blake3: String,
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
    /// The layer with this key, if it and all contents that it names are there and whole. Sizes are compared, and the hash of the listing;
    /// contents are not hashed.
    pub fn layer(&self, key: &BuildKey) -> Result<Option<CachedLayer>, StoreError> {
        self.open_layer(key).map_err(|error| self.error(error))
    }

    /// What each layer of the cache was made of, as it was written. Whether a layer is whole otherwise, [`Store::layer`] tells.
    pub fn layer_inputs(&self) -> Result<Vec<(BuildKey, Vec<u8>)>, StoreError> {
        let read_all = || -> io::Result<Vec<(BuildKey, Vec<u8>)>> {
            let mut found = Vec::new();
            for name in entries(&self.layers_root())? {
                let Ok(key) = name.parse::<BuildKey>() else { continue };
                let folder = self.layer_path(&key);
                // Whatever cannot be read is a miss, and so no reason to fail.
                let Some(record) = read_record(&folder, &key).ok().flatten() else { continue };
                let inputs = read(&folder.join(INPUTS)).ok().flatten();
                let inputs = inputs.filter(|inputs| record.inputs_blake3 == hash(inputs));
                found.extend(inputs.map(|inputs| (key, inputs)));
            }
            Ok(found)
        };
        read_all().map_err(|error| self.error(error))
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

    /// Removes every layer that is not in use, but those that `keep` says yes to, and those whose contents they use.
    pub fn remove_layers(&self, keep: impl Fn(&BuildKey) -> bool) -> Result<RemovedLayers, StoreError> {
        let mut removed = RemovedLayers::default();
        let names = entries(&self.layers_root()).map_err(|error| self.error(error))?;
        let keys: Vec<BuildKey> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let kept = self.with_those_below(keys.iter().filter(|key| keep(key))).map_err(|error| self.error(error))?;
        for key in keys {
            if kept.contains(key.as_str()) {
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

    /// The names of these layers, and of all whose contents they use.
    fn with_those_below<'a>(&self, keys: impl Iterator<Item = &'a BuildKey>) -> io::Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for key in keys {
            let record = read_record(&self.layer_path(key), key)?;
            all.extend(record.into_iter().flat_map(|record| record.below).map(|below| below.key));
            all.insert(key.to_string());
        }
        Ok(all)
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
        let Some((own, record)) = self.open_content(key)? else { return Ok(None) };
        let listing = read(&self.layer_path(key).join(LISTING))?;
        let Some(listing) = listing.filter(|listing| record.listing_blake3 == hash(listing)) else { return Ok(None) };
        let mut contents = Vec::new();
        for below in &record.below {
            let Ok(key) = below.key.parse::<BuildKey>() else { return Ok(None) };
            match self.open_content(&key)? {
                Some((content, record)) if record.listing_blake3 == below.listing_blake3 => contents.push(content),
                _ => return Ok(None),
            }
        }
        Ok(Some(CachedLayer { own, listing: listing.into(), below: contents }))
    }

    /// The content of a layer, if it has the size that the record says. The record names all layers below: theirs need not be read.
    fn open_content(&self, key: &BuildKey) -> io::Result<Option<(LayerContent, Record)>> {
        let folder = self.layer_path(key);
        let Some(lease) = Locked::lease(&folder)? else { return Ok(None) };
        let Some(record) = read_record(&folder, key)? else { return Ok(None) };
        let path = folder.join(CONTENT);
        let is_whole =
            std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() == record.content_size);
        let content = LayerContent {
            key: key.clone(),
            path: path.into(),
            size: record.content_size,
            listing_blake3: record.listing_blake3.clone(),
            _lease: Arc::new(lease),
        };
        Ok(is_whole.then_some((content, record)))
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
        &self.own.key
    }

    /// The listing, as it was written.
    pub fn listing(&self) -> &[u8] {
        &self.listing
    }

    /// The contents of a layer that the listing names by its key: this one's, or one's below.
    pub fn content_of(&self, key: &str) -> Option<&LayerContent> {
        [&self.own].into_iter().chain(&self.below).find(|content| content.key.as_str() == key)
    }
}

impl LayerContent {
    /// The file.
    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
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

    /// Makes it a layer of the store, which was made of `inputs` and uses contents of those `below`. One that is damaged gives way.
    ///
    /// So does one that is whole and not in use, which only a build meets that was told to use no cache.
    pub fn commit(mut self, listing: &[u8], inputs: &[u8], below: &[&LayerContent]) -> Result<CachedLayer, StoreError> {
        let key = self.lock.key();
        let in_use = || StoreError::InUse { asked: key.to_string(), user: "another build uses the layer".to_owned() };
        let _old = self.store.take_within(WHILE_BUILDING, &self.store.layer_path(key), in_use)?;
        let publish = || -> io::Result<()> {
            seal(&self.folder.join(CONTENT))?;
            let record = Record {
                format: FORMAT,
                key: key.to_string(),
                content_size: fs_err::metadata(self.folder.join(CONTENT))?.len(),
                listing_blake3: hash(listing),
                inputs_blake3: hash(inputs),
                below: below.iter().map(|content| Below::of(content)).collect(),
            };
            write_file(&self.folder.join(LISTING), listing, 0o444)?;
            write_file(&self.folder.join(INPUTS), inputs, 0o444)?;
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

impl Below {
    fn of(content: &LayerContent) -> Self {
        Self { key: content.key.to_string(), listing_blake3: content.listing_blake3.clone() }
    }
}

impl Drop for LayerStaging<'_> {
    fn drop(&mut self) {
        if self.is_here {
            let _ = remove_folder(&self.folder);
        }
    }
}

/// The record in a layer's folder; `None` for one that is missing, damaged, of another format or of another layer.
fn read_record(folder: &Path, key: &BuildKey) -> io::Result<Option<Record>> {
    let record = read(&folder.join(RECORD))?.and_then(|record| serde_json::from_slice::<Record>(&record).ok());
    Ok(record.filter(|record| record.format == FORMAT && record.key == key.as_str()))
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

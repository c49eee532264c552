//! The store: finding images, and the right to build one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::durable::{TEMPORARY, write_file};
use crate::error::StoreError;
use crate::image::{Damage, Image, Miss};
use crate::lock::Locked;
use crate::names::{Named, Names, check_name, entries};
use crate::record::ImageRecord;
use smolvm_manifest::BuildKey;

/// What `VERSION` says in a store that this code can read.
const VERSION: &str = "smolvm-store 1";

/// What may lie in a folder without `VERSION` that is to become a store: what another process that makes the same store wrote
/// since we looked, and what every new ext4 disk has.
const NO_STRANGERS: [&str; 9] =
    ["VERSION", "images", "layers", "index", "staging", "scratch", "locks", "logs", "lost+found"];

/// Fewer digits than this are no way to name an image: too much would fit by chance.
const SHORTEST_PREFIX: usize = 4;

/// A folder of images. Every process that uses the same folder sees the same images, and none sees half of one.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    pub(crate) names: Names,
}

/// The right to build a key. Others that want to build the same one wait, in this process and in others.
#[derive(Debug)]
pub struct BuildLock {
    key: BuildKey,
    _lock: Locked,
}

/// One line of a listing.
#[derive(Debug, Clone)]
pub struct ListedImage {
    /// A name that means it; `None` for an image whose name means a newer one by now.
    pub name: Option<String>,
    /// Its key.
    pub key: BuildKey,
    /// When the name began to mean it.
    pub created: Option<SystemTime>,
    /// What it is, or what is wrong with it.
    pub state: Result<ImageRecord, String>,
}

impl Store {
    /// The folder in which logs of failed builds lie, for people to read. Nothing reads them again.
    pub const LOGS: &'static str = "logs";

    /// Opens a store, and makes one where there is nothing yet. A folder that holds other things is refused.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let (store, found) = Self::inspect(root.into())?;
        if found == Found::Nothing {
            let text = format!("{VERSION}\n");
            write_file(&store.root.join("VERSION"), text.as_bytes(), 0o644).map_err(|error| store.error(error))?;
        }
        Ok(store)
    }

    /// Opens a store to look at it or to take from it: where there is none, none is made, and there are no images.
    pub fn open_existing(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self::inspect(root.into())?.0)
    }

    /// The store in a folder, and whether it is there already. Writes nothing.
    fn inspect(root: PathBuf) -> Result<(Self, Found), StoreError> {
        let found = match fs_err::read_to_string(root.join("VERSION")) {
            Ok(found) if found.trim_end() == VERSION => Found::Store,
            Ok(found) => {
                let found = found.lines().next().unwrap_or_default().chars().take(40).collect();
                return Err(StoreError::Version { root, found, known: VERSION.to_owned() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match stranger(&root) {
                Ok(None) => Found::Nothing,
                Ok(Some(stranger)) => return Err(StoreError::NotAStore { root, stranger }),
                Err(error) => return Err(StoreError::of(&root, error)),
            },
            Err(error) => return Err(StoreError::of(&root, error)),
        };
        Ok((Self { names: Names::new(&root), root }, found))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The image with this key, if it is there and whole.
    pub fn lookup(&self, key: &BuildKey) -> Result<Option<Image>, StoreError> {
        Ok(self.open_image(key)?.ok())
    }

    /// Waits for the right to build a key. Whoever had it before may have built it: look the key up again afterwards.
    pub fn lock(&self, key: &BuildKey) -> Result<BuildLock, StoreError> {
        let lock = Locked::wait_for_file(&self.lock_path(key)).map_err(|error| self.error(error))?;
        Ok(BuildLock { key: key.clone(), _lock: lock })
    }

    /// The right to build a key, unless somebody else has it.
    pub fn try_lock(&self, key: &BuildKey) -> Result<Option<BuildLock>, StoreError> {
        let lock = Locked::try_file(&self.lock_path(key)).map_err(|error| self.error(error))?;
        Ok(lock.map(|lock| BuildLock { key: key.clone(), _lock: lock }))
    }

    /// Lets a name mean an image from `created` on. Nothing changes (and nothing is written) if it does already.
    pub fn name(&self, image: &Image, name: &str, created: SystemTime) -> Result<(), StoreError> {
        check_name(name)?;
        let set = || {
            if self.names.get(name)?.is_some_and(|named| named.key == *image.key()) {
                return Ok(());
            }
            self.names.set(&self.names.lock()?, name, image.key(), created)
        };
        set().map_err(|error| self.error(error))
    }

    /// The image that a name, a key, or the beginning of a key means.
    pub fn find(&self, asked: &str) -> Result<Image, StoreError> {
        let key = self.resolve(asked)?.key;
        match self.open_image(&key)? {
            Ok(image) => Ok(image),
            Err(Miss::Damaged(damage)) => Err(StoreError::Damaged { asked: asked.to_owned(), damage }),
            Err(Miss::Absent) => {
                Err(StoreError::Damaged { asked: asked.to_owned(), damage: "its folder is gone".to_owned() })
            }
        }
    }

    /// Every image: those with names first, by name, then those without.
    pub fn list(&self) -> Result<Vec<ListedImage>, StoreError> {
        let named = self.names.all().map_err(|error| self.error(error))?;
        let mut listed = Vec::new();
        for Named { name, key, created } in &named {
            listed.push(self.describe(Some((name.clone(), *created)), key)?);
        }
        for key in self.keys()? {
            if named.iter().all(|named| named.key != key) {
                listed.push(self.describe(None, &key)?);
            }
        }
        Ok(listed)
    }

    /// Hashes every file of an image and compares with what was built.
    pub fn verify(&self, image: &Image) -> Result<Vec<Damage>, StoreError> {
        image.verify().map_err(|error| self.error(error))
    }

    /// Keeps an image's kernel, unpacked, beside its files, and says where: for virtual machines that do not boot the kernel as it was built in.
    pub fn keep_unpacked_kernel(&self, image: &Image, kernel: &[u8]) -> Result<PathBuf, StoreError> {
        image.keep_unpacked_kernel(kernel).map_err(|error| self.error(error))
    }

    /// What a name, a key, or the beginning of a key means, whole or not.
    pub(crate) fn resolve(&self, asked: &str) -> Result<Resolved, StoreError> {
        if let Some(named) = self.names.get(asked).map_err(|error| self.error(error))? {
            return Ok(Resolved { name: Some(named.name), key: named.key });
        }
        let names = self.names.all().map_err(|error| self.error(error))?;
        let is_prefix = asked.len() >= SHORTEST_PREFIX && asked.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = asked.to_ascii_lowercase();
        let mut keys = if is_prefix { self.keys()? } else { Vec::new() };
        keys.retain(|key| key.as_str().starts_with(&digits));
        match <[BuildKey; 1]>::try_from(keys) {
            Ok([key]) => Ok(Resolved { name: None, key }),
            Err(keys) if keys.is_empty() => {
                let names: Vec<_> = names.into_iter().map(|named| named.name).collect();
                Err(StoreError::NoSuchImage { asked: asked.to_owned(), similar: similar(asked, &names) })
            }
            Err(keys) => {
                let describe = |key: &BuildKey| {
                    let of: Vec<_> = names.iter().filter(|named| named.key == *key).map(|named| &*named.name).collect();
                    let short = &key.as_str()[..12];
                    if of.is_empty() { short.to_owned() } else { format!("{short} ({})", of.join(", ")) }
                };
                Err(StoreError::Ambiguous { asked: asked.to_owned(), candidates: keys.iter().map(describe).collect() })
            }
        }
    }

    pub(crate) fn image_path(&self, key: &BuildKey) -> PathBuf {
        self.root.join("images").join(key.as_str())
    }

    pub(crate) fn staging_root(&self) -> PathBuf {
        self.root.join("staging")
    }

    pub(crate) fn lock_path(&self, key: &BuildKey) -> PathBuf {
        self.root.join("locks").join(key.as_str())
    }

    pub(crate) fn error(&self, error: io::Error) -> StoreError {
        StoreError::of(&self.root, error)
    }

    pub(crate) fn open_image(&self, key: &BuildKey) -> Result<Result<Image, Miss>, StoreError> {
        Image::open(self.image_path(key), key).map_err(|error| self.error(error))
    }

    fn keys(&self) -> Result<Vec<BuildKey>, StoreError> {
        let names = entries(&self.root.join("images")).map_err(|error| self.error(error))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn describe(&self, name: Option<(String, SystemTime)>, key: &BuildKey) -> Result<ListedImage, StoreError> {
        let state = match self.open_image(key)? {
            Ok(image) => Ok(image.record().clone()),
            Err(Miss::Damaged(damage)) => Err(damage),
            Err(Miss::Absent) => Err("its folder is gone".to_owned()),
        };
        let (name, created) = name.unzip();
        Ok(ListedImage { name, key: key.clone(), created, state })
    }
}

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Store,
    Nothing,
}

/// Something in a folder that no store has, if there is such a thing; nothing if there is no folder.
fn stranger(folder: &Path) -> io::Result<Option<String>> {
    let listing = match fs_err::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut strangers = Vec::new();
    for entry in listing {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !NO_STRANGERS.contains(&name.as_str()) && !name.starts_with(TEMPORARY) {
            strangers.push(name);
        }
    }
    // The first by name, so that the message is the same every time.
    Ok(strangers.into_iter().min())
}

/// What was asked for, by name or by key.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) name: Option<String>,
    pub(crate) key: BuildKey,
}

impl BuildLock {
    /// What may be built.
    pub fn key(&self) -> &BuildKey {
        &self.key
    }
}

/// The names that somebody who wrote `asked` may have meant, the likeliest first.
fn similar(asked: &str, names: &[String]) -> Vec<String> {
    /// Below this, names have little more in common than a few letters.
    const ALIKE: f64 = 0.8;
    let mut rated: Vec<_> = names.iter().map(|name| (strsim::jaro_winkler(asked, name), name)).collect();
    rated.retain(|(rating, _)| *rating >= ALIKE);
    rated.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    rated.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

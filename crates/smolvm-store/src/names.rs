//! `index/`: which image a name means.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::durable::{sync_folder, write_file};
use crate::error::StoreError;
use crate::lock::Locked;
use smolvm_manifest::BuildKey;

/// The folder of names.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    folder: PathBuf,
    lock: PathBuf,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) key: BuildKey,
    pub(crate) created: SystemTime,
}

/// The right to change names.
#[derive(Debug)]
pub(crate) struct NamesLock {
    _lock: Locked,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    /// Seconds since 1970.
    created: u64,
}

impl Names {
    pub(crate) fn new(root: &Path) -> Self {
        Self { folder: root.join("index"), lock: root.join("locks").join("index") }
    }

    /// Waits for its turn to change names.
    pub(crate) fn lock(&self) -> io::Result<NamesLock> {
        Ok(NamesLock { _lock: Locked::wait_for_file(&self.lock)? })
    }

    /// What a name means. An entry that is damaged, or no file, means nothing.
    pub(crate) fn get(&self, name: &str) -> io::Result<Option<Named>> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let path = self.folder.join(name);
        // Never waits for the other end of a pipe, or reads a device.
        if std::fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Ok(None);
        }
        let text = match fs_err::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let entry = serde_json::from_slice::<Entry>(&text).ok();
        Ok(entry.and_then(|entry| {
            let created = UNIX_EPOCH.checked_add(Duration::from_secs(entry.created))?;
            Some(Named { name: name.to_owned(), key: entry.key.parse().ok()?, created })
        }))
    }

    /// Every name, sorted.
    pub(crate) fn all(&self) -> io::Result<Vec<Named>> {
        let mut names = Vec::new();
        for name in entries(&self.folder)? {
            names.extend(self.get(&name)?);
        }
        Ok(names)
    }

    /// Lets a name mean a key from now on.
    pub(crate) fn set(&self, _lock: &NamesLock, name: &str, key: &BuildKey, created: SystemTime) -> io::Result<()> {
        let created = created.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = serde_json::to_vec(&Entry { key: key.to_string(), created })?;
        write_file(&self.folder.join(name), &text, 0o644)
    }

    /// Lets names mean nothing.
    pub(crate) fn remove(&self, _lock: &NamesLock, names: &[String]) -> io::Result<()> {
        for name in names {
            match fs_err::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if names.is_empty() { Ok(()) } else { sync_folder(&self.folder) }
    }
}

/// Refuses what must not become a file name here.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_later = |c: char| is_first(c) || matches!(c, '.' | '_' | '-');
    if name.starts_with(is_first) && name.chars().all(is_later) && name.len() <= 128 {
        Ok(())
    } else {
        Err(StoreError::BadName { name: name.to_owned() })
    }
}

/// The names in a folder, sorted; none if there is no folder.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let listing = match fs_err::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in listing {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

//! A finished image that is in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable::write_file;
use crate::lock::Locked;
use crate::record::{BlobRecord, ImageRecord, hash};
use smolvm_manifest::BuildKey;

/// The file of [`Store::keep_unpacked_kernel`](crate::Store::keep_unpacked_kernel).
const UNPACKED_KERNEL: &str = "vmlinux";

/// A whole image, which nobody can remove for as long as this or a clone of it lives.
#[derive(Debug, Clone)]
pub struct Image {
    key: BuildKey,
    folder: PathBuf,
    record: ImageRecord,
    _lease: Arc<Locked>,
}

/// A file of an image whose content is not what was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// blake3 of what was built, hex.
    pub expected: String,
    /// blake3 of what is there, hex.
    pub found: String,
}

/// Why there is no whole image.
#[derive(Debug)]
pub(crate) enum Miss {
    Absent,
    Damaged(String),
}

impl Image {
    /// The build key.
    pub fn key(&self) -> &BuildKey {
        &self.key
    }

    /// What it is.
    pub fn record(&self) -> &ImageRecord {
        &self.record
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kernel.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join(&self.record.kernel.file)
    }

    /// The initial ram disk.
    pub fn initrd(&self) -> Option<PathBuf> {
        self.record.initrd.as_ref().map(|blob| self.folder.join(&blob.file))
    }

    /// The root file system. It must never be written to: a VM gets a snapshot or a copy.
    pub fn rootfs(&self) -> PathBuf {
        self.folder.join(&self.record.rootfs.file)
    }

    /// Keeps the kernel in another form beside the image's own files. One that is there is compared, not trusted: it is no part of what was
    /// built, and no record speaks of it.
    pub(crate) fn keep_unpacked_kernel(&self, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(UNPACKED_KERNEL);
        if !std::fs::read(&path).is_ok_and(|found| found == content) {
            write_file(&path, content, 0o444)?;
        }
        Ok(path)
    }

    /// Takes the lease of an image and looks whether it is whole, by the sizes of its files.
    pub(crate) fn open(folder: PathBuf, key: &BuildKey) -> io::Result<Result<Self, Miss>> {
        let Some(lease) = Locked::lease(&folder)? else { return Ok(Err(Miss::Absent)) };
        let damaged = |damage: String| Ok(Err(Miss::Damaged(damage)));
        let record = match fs_err::read(folder.join(ImageRecord::FILE)) {
            Ok(text) => match serde_json::from_slice::<ImageRecord>(&text) {
                Ok(record) => record,
                Err(error) => return damaged(format!("its {} cannot be read: {error}", ImageRecord::FILE)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return damaged(format!("its {} is missing", ImageRecord::FILE));
            }
            Err(error) => return Err(error),
        };
        if let Some(damage) = what_is_wrong(&record, key, &folder)? {
            return damaged(damage);
        }
        Ok(Ok(Self { key: key.clone(), folder, record, _lease: Arc::new(lease) }))
    }

    /// Hashes every file.
    pub(crate) fn verify(&self) -> io::Result<Vec<Damage>> {
        let mut damages = Vec::new();
        for BlobRecord { file, blake3, .. } in self.record.blobs() {
            let found = hash(&self.folder.join(file))?;
            if found != *blake3 {
                damages.push(Damage { file: file.clone(), expected: blake3.clone(), found });
            }
        }
        Ok(damages)
    }
}

/// The first thing that keeps the files in `folder` from being the image that `record` describes.
pub(crate) fn what_is_wrong(record: &ImageRecord, key: &BuildKey, folder: &Path) -> io::Result<Option<String>> {
    if record.format != ImageRecord::FORMAT {
        return Ok(Some(format!("its record has the format {}", record.format)));
    }
    if record.key != key.as_str() {
        return Ok(Some(format!("its record is that of the key {}", record.key)));
    }
    // The record may be damaged too: only names that belong here are followed.
    let named = [
        (Some(&record.kernel), BlobRecord::KERNEL),
        (record.initrd.as_ref(), BlobRecord::INITRD),
        (Some(&record.rootfs), BlobRecord::ROOTFS),
    ];
    for (blob, name) in named {
        let Some(blob) = blob else { continue };
        if blob.file != name {
            return Ok(Some(format!("its record calls the {name} `{}`", blob.file)));
        }
        match std::fs::symlink_metadata(folder.join(name)) {
            Ok(found) if found.is_file() && found.len() == blob.size => {}
            Ok(found) => {
                return Ok(Some(format!("{name} has {} bytes instead of {}", found.len(), blob.size)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(format!("{name} is missing"))),
            Err(error) => return Err(crate::durable::at(&folder.join(name), &error)),
        }
    }
    Ok(None)
}

//! A folder of packages of one architecture, with a signed index.

use std::path::{Path, PathBuf};

use super::apk::{self, Apk};
use super::signing_key::SigningKey;

/// A repository in the making.
pub(super) struct Repository<'a> {
    folder: PathBuf,
    key: &'a SigningKey,
    entries: Vec<String>,
}

impl<'a> Repository<'a> {
    /// An empty one: `folder` is what `/etc/apk/repositories` will name, such as `v3.20/main`.
    pub(super) fn new(folder: &Path, key: &'a SigningKey) -> Self {
        let folder = folder.join("x86_64");
        fs_err::create_dir_all(&folder).unwrap();
        Self { folder, key, entries: Vec::new() }
    }

    /// Adds the file of a package.
    pub(super) fn add(&mut self, package: &Apk) {
        let packed = package.pack(self.key);
        fs_err::write(self.folder.join(packed.file_name), packed.bytes).unwrap();
        self.entries.push(packed.index_entry);
    }

    /// Writes `APKINDEX.tar.gz`.
    pub(super) fn write(&self) {
        let mut index: String = self.entries.join("\n");
        index.push('\n');
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("DESCRIPTION", "smolvm test repository".to_owned()), ("APKINDEX", index)] {
            apk::append(&mut tar, name, &apk::file(text.into_bytes(), 0o644, 0));
        }
        let index = apk::gzip(&tar.into_inner().unwrap());
        fs_err::write(self.folder.join("APKINDEX.tar.gz"), apk::signed(&index, self.key)).unwrap();
    }
}

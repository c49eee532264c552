//! Alpine's mini root file system, read from the folder of test data beside the project.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::apk::{Entry, Kind};
use crate::support::{has, skipped};

/// The official archive, and what is in it.
#[derive(Debug)]
pub(crate) struct Minirootfs {
    archive: PathBuf,
    /// By path, without a slash in front.
    entries: BTreeMap<String, Entry>,
}

impl Minirootfs {
    /// `None`, with the reason on stderr, where the archive is not at hand or cannot run.
    pub(crate) fn read() -> Option<Self> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        if !data.is_dir() {
            // Not `has`: the folder is no part of the project, and CI may lack it too.
            skipped("the folder of test data, ../shared/data beside the project, is not here");
            return None;
        }
        if !has("an x86_64 processor", cfg!(target_arch = "x86_64")) {
            return None;
        }
        let archive = data.join("alpine/alpine-minirootfs-3.20.3-x86_64.tar.gz");
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs_err::File::open(&archive).unwrap()));
        let entries = tar.entries().unwrap().map(|entry| read_entry(entry.unwrap())).collect();
        Some(Self { archive, entries })
    }

    /// The file as it was read: what `docker import` takes.
    pub(crate) fn archive(&self) -> &Path {
        &self.archive
    }

    pub(super) fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The bytes of a file that must be there.
    pub(super) fn content(&self, path: &str) -> &[u8] {
        match self.entry(path) {
            Some(Entry { kind: Kind::File(content), .. }) => content,
            other => panic!("{path} is {other:?}"),
        }
    }

    /// The text of a file that must be there.
    pub(super) fn text(&self, path: &str) -> &str {
        str::from_utf8(self.content(path)).unwrap()
    }
}

fn read_entry(mut entry: tar::Entry<impl Read>) -> (String, Entry) {
    let path = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").trim_end_matches('/').to_owned();
    let kind = match entry.header().entry_type() {
        EntryType::Directory => Kind::Folder,
        EntryType::Regular => Kind::File(read_all(&mut entry)),
        EntryType::Symlink => Kind::Link(entry.link_name().unwrap().unwrap().to_str().unwrap().to_owned()),
        other => panic!("{path} is of kind {other:?}"),
    };
    let header = entry.header();
    let owner = (header.uid().unwrap(), header.gid().unwrap());
    (path, Entry { kind, mode: header.mode().unwrap(), owner, time: header.mtime().unwrap() })
}

pub(super) fn read_all(reader: &mut impl Read) -> Vec<u8> {
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    content
}

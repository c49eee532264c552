//! A package in apk's format v2: three gzip members, of which the first signs the second, and the second holds the digest of
//! the third.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::signing_key::{SigningKey, sha1};

/// What is known of a package: its letter in an index and in the list of what is installed, its key in `.PKGINFO`, and
/// whether an index has it. In the order of an index.
const FIELDS: [(char, &str, bool); 17] = [
    ('P', "pkgname", true),
    ('V', "pkgver", true),
    ('A', "arch", true),
    ('I', "size", true),
    ('T', "pkgdesc", true),
    ('U', "url", true),
    ('L', "license", true),
    ('o', "origin", true),
    ('m', "maintainer", true),
    ('t', "builddate", true),
    ('c', "commit", true),
    ('k', "provider_priority", true),
    ('D', "depend", true),
    ('p', "provides", true),
    ('i', "install_if", true),
    ('r', "replaces", false),
    ('q', "replaces_priority", false),
];

/// The fields that hold several values: `.PKGINFO` has a line for each.
const LISTS: &str = "Dpir";

/// When packages of our own were made: the day of the mini root file system.
const TIME: u64 = 1_725_580_800;

/// The size of a package that holds no file: not 0, or apk would not even fetch it.
const FOLDER: &str = "4096";

/// A package, as it is before it is packed.
#[derive(Debug, Clone, Default)]
pub(super) struct Apk {
    /// By the letters of [`FIELDS`].
    pub(super) fields: BTreeMap<char, String>,
    /// By name: `.post-install`.
    pub(super) scripts: BTreeMap<String, Vec<u8>>,
    /// The folders whose changes run `.trigger`.
    pub(super) triggers: Vec<String>,
    /// By path, without a slash in front.
    pub(super) entries: BTreeMap<String, Entry>,
}

/// A file of a package.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// User and group, as numbers.
    pub(super) owner: (u64, u64),
    /// Seconds since 1970.
    pub(super) time: u64,
}

/// What it is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Folder,
    File(Vec<u8>),
    Link(String),
}

/// A package's file and what an index says of it.
pub(super) struct Packed {
    pub(super) file_name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) index_entry: String,
}

impl Entry {
    /// apk's checksum of it; a folder has none.
    pub(super) fn checksum(&self) -> Option<[u8; 20]> {
        match &self.kind {
            Kind::Folder => None,
            Kind::File(content) => Some(sha1(content)),
            Kind::Link(target) => Some(sha1(target.as_bytes())),
        }
    }
}

impl Apk {
    /// A package that holds nothing and needs nothing.
    pub(super) fn new(name: &str, version: &str, description: &str) -> Self {
        let time = TIME.to_string();
        let fields = [
            ('P', name),
            ('V', version),
            ('A', "x86_64"),
            ('I', FOLDER),
            ('T', description),
            ('o', name),
            ('t', &time),
        ];
        let fields = fields.map(|(letter, value)| (letter, value.to_owned())).into();
        Self { fields, ..Self::default() }
    }

    /// Sets a field, by its letter in [`FIELDS`].
    pub(super) fn field(mut self, letter: char, value: &str) -> Self {
        self.fields.insert(letter, value.to_owned());
        self
    }

    /// Adds a script, by its name in the package.
    pub(super) fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.insert(name.to_owned(), text.as_bytes().to_owned());
        self
    }

    /// Adds a file. apk wants an entry for each folder above it.
    pub(super) fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let mut package = self.folder(above);
        let size: usize = package.fields[&'I'].parse().unwrap();
        package.fields.insert('I', (size + content.len()).to_string());
        package.entries.insert(path.to_owned(), file(content.to_owned(), mode, TIME));
        package
    }

    /// Adds a folder, and those above it.
    pub(super) fn folder(mut self, path: &str) -> Self {
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let folder = Entry { kind: Kind::Folder, mode: 0o755, owner: (0, 0), time: TIME };
            self.entries.entry(path[..end].to_owned()).or_insert(folder);
        }
        self
    }

    /// The file, signed.
    pub(super) fn pack(&self, key: &SigningKey) -> Packed {
        let data = gzip(&self.data_tar());
        let control = gzip(&cut(self.control_tar(&hex::encode(Sha256::digest(&data)))));
        let bytes = signed(&control, key).into_iter().chain(data).collect::<Vec<_>>();
        let mut index_entry = format!("C:{}\n", written(&sha1(&control)));
        for (letter, _, is_in_index) in FIELDS {
            let Some(value) = self.fields.get(&letter).filter(|_| is_in_index) else { continue };
            let _ = writeln!(index_entry, "{letter}:{value}");
            if letter == 'A' {
                let _ = writeln!(index_entry, "S:{}", bytes.len());
            }
        }
        Packed { file_name: format!("{}-{}.apk", self.fields[&'P'], self.fields[&'V']), bytes, index_entry }
    }

    fn package_info(&self, data_digest: &str) -> String {
        let mut text = String::new();
        for (letter, key, _) in FIELDS {
            let Some(value) = self.fields.get(&letter) else { continue };
            if LISTS.contains(letter) {
                value.split(' ').for_each(|value| writeln!(text, "{key} = {value}").unwrap());
            } else {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        if !self.triggers.is_empty() {
            writeln!(text, "triggers = {}", self.triggers.join(" ")).unwrap();
        }
        writeln!(text, "datahash = {data_digest}").unwrap();
        text
    }

    fn control_tar(&self, data_digest: &str) -> Vec<u8> {
        let time = self.fields[&'t'].parse().unwrap();
        let info = file(self.package_info(data_digest).into_bytes(), 0o644, time);
        let mut tar = Builder::new(Vec::new());
        append(&mut tar, ".PKGINFO", &info);
        for (name, content) in &self.scripts {
            append(&mut tar, name, &file(content.clone(), 0o755, time));
        }
        tar.into_inner().unwrap()
    }

    fn data_tar(&self) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            if let Some(checksum) = entry.checksum() {
                append_checksum(&mut tar, &checksum);
            }
            append(&mut tar, path, entry);
        }
        tar.into_inner().unwrap()
    }
}

/// A file of root's.
pub(super) fn file(content: Vec<u8>, mode: u32, time: u64) -> Entry {
    Entry { kind: Kind::File(content), mode, owner: (0, 0), time }
}

/// Adds an entry to an archive. Owners have no names in it: apk then takes the numbers.
pub(super) fn append(tar: &mut Builder<Vec<u8>>, path: &str, entry: &Entry) {
    let (kind, content) = match &entry.kind {
        Kind::Folder => (EntryType::Directory, &[][..]),
        Kind::File(content) => (EntryType::Regular, content.as_slice()),
        Kind::Link(_) => (EntryType::Symlink, &[][..]),
    };
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_mtime(entry.time);
    header.set_size(content.len() as u64);
    if let Kind::Link(target) = &entry.kind {
        header.set_link_name(target).unwrap();
    }
    tar.append_data(&mut header, path, content).unwrap();
}

/// Adds the PAX header of the entry that comes next. Not by `Builder::append_pax_extensions`, whose header has no name: that
/// is the end of an archive to apk.
fn append_checksum(tar: &mut Builder<Vec<u8>>, checksum: &[u8; 20]) {
    let record = format!(" APK-TOOLS.checksum.SHA1={}\n", hex::encode(checksum));
    // The length counts its own two digits.
    let record = format!("{}{record}", record.len() + 2);
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_size(record.len() as u64);
    tar.append_data(&mut header, "PaxHeaders", record.as_bytes()).unwrap();
}

/// These bytes, after a member with their signature.
pub(super) fn signed(bytes: &[u8], key: &SigningKey) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, &format!(".SIGN.RSA.{}", key.file_name()), &file(key.sign(bytes), 0o644, 0));
    gzip(&cut(tar.into_inner().unwrap())).into_iter().chain(bytes.iter().copied()).collect()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A digest as indexes have it.
pub(super) fn written(digest: &[u8; 20]) -> String {
    format!("Q1{}", BASE64_STANDARD.encode(digest))
}

/// An archive without its end: the members of a package are one archive when they are read one after the other.
fn cut(mut tar: Vec<u8>) -> Vec<u8> {
    tar.truncate(tar.len() - 1024);
    tar
}

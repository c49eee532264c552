//! Makes .deb files, sound and unsound ones, for tests.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use tar::{EntryType, Header};

/// A .deb in the making: control fields, control files and entries in the order of the calls.
#[derive(Debug, Clone)]
pub struct TestDeb {
    name: String,
    version: String,
    arch: String,
    fields: String,
    control_files: Vec<(String, Vec<u8>)>,
    entries: Vec<(Header, Extensions, Vec<u8>)>,
    compression: TestCompression,
}

/// Attributes that an entry's PAX header carries.
type Extensions = Vec<(String, Vec<u8>)>;

/// How a [`TestDeb`] compresses its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestCompression {
    /// `.tar`.
    None,
    /// `.tar.gz`.
    Gzip,
    /// `.tar.xz`.
    Xz,
    /// `.tar.zst`.
    Zstd,
}

/// An entry for [`TestDeb::entry`]. The default is a file 0644 of root, 1,000,000,000 seconds after 1970.
#[derive(Debug, Clone)]
pub struct TestEntry {
    /// The name as it stands in the archive, usually beginning with `./`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// What a link says.
    pub target: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group, as numbers.
    pub owner: (u64, u64),
    /// Owner and group, as names.
    pub owner_names: (String, String),
    /// Bytes of a file.
    pub content: Vec<u8>,
    /// Attributes of a PAX header, `SCHILY.xattr.user.x` for example.
    pub extensions: Vec<(String, Vec<u8>)>,
}

impl Default for TestEntry {
    fn default() -> Self {
        Self {
            name: Vec::new(),
            kind: EntryType::Regular,
            target: Vec::new(),
            mode: 0o644,
            owner: (0, 0),
            owner_names: ("root".to_owned(), "root".to_owned()),
            content: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

impl TestDeb {
    /// A package for all architectures that holds nothing but the root folder.
    pub fn new(name: &str, version: &str) -> Self {
        let deb = Self {
            name: name.to_owned(),
            version: version.to_owned(),
            arch: "all".to_owned(),
            fields: String::new(),
            control_files: Vec::new(),
            entries: Vec::new(),
            compression: TestCompression::Xz,
        };
        deb.dir("./")
    }

    /// Sets the architecture.
    #[must_use]
    pub fn arch(mut self, arch: &str) -> Self {
        arch.clone_into(&mut self.arch);
        self
    }

    /// Adds a control field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        let _ = writeln!(self.fields, "{name}: {value}");
        self
    }

    /// Adds a control file; scripts get mode 0755.
    #[must_use]
    pub fn control_file(mut self, name: &str, content: &str) -> Self {
        self.control_files.push((name.to_owned(), content.as_bytes().to_vec()));
        self
    }

    /// Adds a folder, 0755.
    #[must_use]
    pub fn dir(self, name: &str) -> Self {
        let name = name.as_bytes().to_vec();
        self.entry(TestEntry { name, kind: EntryType::Directory, mode: 0o755, ..TestEntry::default() })
    }

    /// Adds a file, 0644.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        let (name, content) = (name.as_bytes().to_vec(), content.as_bytes().to_vec());
        self.entry(TestEntry { name, content, ..TestEntry::default() })
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        let (name, target) = (name.as_bytes().to_vec(), target.as_bytes().to_vec());
        self.entry(TestEntry { name, kind: EntryType::Symlink, target, mode: 0o777, ..TestEntry::default() })
    }

    /// Adds a hard link, with the mode of its target.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        let headers = self.entries.iter().map(|(header, ..)| header);
        let mut named = headers.filter(|header| *header.path_bytes() == *target.as_bytes());
        let mode = named.next().and_then(|header| header.mode().ok()).unwrap_or(0o644);
        let (name, target) = (name.as_bytes().to_vec(), target.as_bytes().to_vec());
        self.entry(TestEntry { name, kind: EntryType::Link, target, mode, ..TestEntry::default() })
    }

    /// Adds any entry at all.
    ///
    /// # Panics
    /// When name or target do not fit a plain tar header and no PAX `path` or `linkpath` is given.
    #[must_use]
    pub fn entry(mut self, entry: TestEntry) -> Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        let fill = |field: &mut [u8], bytes: &[u8]| field[..bytes.len()].copy_from_slice(bytes);
        fill(&mut old.name, &entry.name);
        fill(&mut old.linkname, &entry.target);
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_mtime(1_000_000_000);
        header.set_size(entry.content.len() as u64);
        if let Some(gnu) = header.as_gnu_mut() {
            fill(&mut gnu.uname, entry.owner_names.0.as_bytes());
            fill(&mut gnu.gname, entry.owner_names.1.as_bytes());
        }
        header.set_cksum();
        self.entries.push((header, entry.extensions, entry.content));
        self
    }

    /// Adds an entry whose header was made elsewhere.
    #[must_use]
    pub fn raw(mut self, header: Header, content: &[u8]) -> Self {
        self.entries.push((header, Vec::new(), content.to_vec()));
        self
    }

    /// Compresses both members in this way instead of xz.
    #[must_use]
    pub fn compression(mut self, compression: TestCompression) -> Self {
        self.compression = compression;
        self
    }

    /// The text of the control file.
    pub fn control(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: A Test <test@example.org>\n{}Description: a test\n",
            self.name, self.version, self.arch, self.fields
        )
    }

    /// The .deb.
    pub fn build(&self) -> io::Result<Vec<u8>> {
        let suffix = self.compression.suffix();
        let control = self.compression.compress(&self.control_tar()?)?;
        let data = self.compression.compress(&self.data_tar()?)?;
        Ok(ar(&[
            ("debian-binary", b"2.0\n"),
            (&format!("control.tar{suffix}"), &control),
            (&format!("data.tar{suffix}"), &data),
        ]))
    }

    /// The uncompressed data member.
    pub fn data_tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (header, extensions, content) in &self.entries {
            if !extensions.is_empty() {
                tar.append_pax_extensions(extensions.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
            }
            tar.append(header, content.as_slice())?;
        }
        tar.into_inner()
    }

    fn control_tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let control = ("control".to_owned(), self.control().into_bytes());
        for (name, content) in std::iter::once(&control).chain(&self.control_files) {
            let mut header = Header::new_gnu();
            let is_script = ["preinst", "postinst", "prerm", "postrm", "config"].contains(&name.as_str());
            header.set_mode(if is_script { 0o755 } else { 0o644 });
            header.set_size(content.len() as u64);
            header.set_mtime(1_000_000_000);
            tar.append_data(&mut header, format!("./{name}"), content.as_slice())?;
        }
        tar.into_inner()
    }
}

impl TestCompression {
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd => zstd::encode_all(bytes, 1),
        }
    }
}

/// An `ar` archive of these members.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        archive.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        archive.extend_from_slice(content);
        if content.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

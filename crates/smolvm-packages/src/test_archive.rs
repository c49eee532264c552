//! A package archive on disk, made from .deb files and signed by a test key: what a local mirror serves in tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use smolvm_manifest::{Arch, Family};

use crate::deb::date::format_date;
use crate::deb::release::{Release, Suite};
use crate::test_key::TestKey;

/// An archive with the suites and components of a [`Release`], in a folder.
///
/// Every archive of the release is a folder below it, named as in the lock: `debian/dists/…`, `debian-security/dists/…`
/// or `ubuntu/dists/…`. [`Self::write`] may be called again after more packages were added or a date was changed.
#[derive(Debug)]
pub struct TestArchive {
    folder: PathBuf,
    release: &'static Release,
    key: TestKey,
    date: i64,
    valid_until: Option<i64>,
    stanzas: BTreeMap<(&'static str, &'static str), Vec<Stanza>>,
}

#[derive(Debug)]
struct Stanza {
    arch: String,
    text: String,
}

impl TestArchive {
    /// An empty archive in `folder`, whose release files will carry `date` (seconds since 1970).
    pub fn new(folder: impl Into<PathBuf>, release: &'static Release, key: TestKey, date: i64) -> Self {
        Self { folder: folder.into(), release, key, date, valid_until: None, stanzas: BTreeMap::new() }
    }

    /// Sets the `Valid-Until` of every release file.
    #[must_use]
    pub fn valid_until(mut self, valid_until: i64) -> Self {
        self.valid_until = Some(valid_until);
        self
    }

    /// The key that signs it.
    pub fn key(&self) -> &TestKey {
        &self.key
    }

    /// The folder of one archive: what a mirror's address points at.
    pub fn archive_folder(&self, archive: &str) -> PathBuf {
        self.folder.join(archive)
    }

    /// Adds a package to a suite of the release (`noble-updates`) and one of its components (`main`).
    ///
    /// The file is copied into the pool.
    pub fn add_deb(&mut self, suite: &str, component: &str, deb: &Path) -> io::Result<()> {
        let suite = self.suite(suite)?;
        let component = *suite
            .components
            .iter()
            .find(|known| **known == component)
            .ok_or_else(|| io::Error::other(format!("{} has no component `{component}`", suite.suite)))?;
        let bytes = fs::read(deb)?;
        let control = control_text(&bytes)?;
        let name = field(&control, "Package").ok_or_else(|| io::Error::other("a package without a name"))?;
        let arch = field(&control, "Architecture").unwrap_or("all").to_owned();
        let version = field(&control, "Version").unwrap_or_default().replace(':', "%3a");
        let path = format!("pool/{component}/{}/{name}/{name}_{version}_{arch}.deb", &name[..1]);
        write_file(&self.folder.join(suite.archive).join(&path), &bytes)?;
        let mut text = control.trim_end().to_owned();
        let (size, digest) = (bytes.len(), hex::encode(Sha256::digest(&bytes)));
        let _ = write!(text, "\nFilename: {path}\nSize: {size}\nSHA256: {digest}\n\n");
        self.stanzas.entry((suite.suite, component)).or_default().push(Stanza { arch, text });
        Ok(())
    }

    /// Adds a stanza of a `Packages` file as it is, for packages that are never downloaded.
    pub fn add_stanza(&mut self, suite: &str, component: &str, stanza: &str) -> io::Result<()> {
        let suite = self.suite(suite)?;
        let component = suite.components.iter().find(|known| **known == component).unwrap_or(&suite.components[0]);
        let arch = field(stanza, "Architecture").unwrap_or("all").to_owned();
        let text = format!("{}\n\n", stanza.trim_end());
        self.stanzas.entry((suite.suite, component)).or_default().push(Stanza { arch, text });
        Ok(())
    }

    /// Leaves a package of this name out of every index from now on; its file stays in the pool.
    pub fn forget(&mut self, name: &str) {
        for stanzas in self.stanzas.values_mut() {
            stanzas.retain(|stanza| field(&stanza.text, "Package") != Some(name));
        }
    }

    /// Writes the `dists` folders: `Packages`, `Packages.xz`, their copies by hash, `InRelease`.
    pub fn write(&self) -> io::Result<()> {
        for suite in self.release.suites {
            let folder = self.folder.join(suite.archive).join("dists").join(suite.suite);
            let mut files = String::new();
            for component in suite.components {
                for arch in Arch::ALL {
                    self.write_index(&folder, suite, component, arch, &mut files)?;
                }
            }
            let signed = self.key.clearsign(&self.release_text(suite, &files), self.date);
            write_file(&folder.join("InRelease"), signed.as_bytes())?;
        }
        Ok(())
    }

    fn write_index(
        &self,
        folder: &Path,
        suite: &Suite,
        component: &'static str,
        arch: Arch,
        files: &mut String,
    ) -> io::Result<()> {
        let stanzas = self.stanzas.get(&(suite.suite, component)).map(Vec::as_slice).unwrap_or_default();
        let text: String = stanzas
            .iter()
            .filter(|stanza| stanza.arch == arch.as_str() || stanza.arch == "all")
            .map(|stanza| stanza.text.as_str())
            .collect();
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(text.as_bytes())?;
        let compressed = encoder.finish()?;
        let below = format!("{component}/binary-{arch}");
        for (name, bytes) in [("Packages", text.as_bytes()), ("Packages.xz", &compressed)] {
            let digest = hex::encode(Sha256::digest(bytes));
            write_file(&folder.join(&below).join(name), bytes)?;
            write_file(&folder.join(&below).join("by-hash/SHA256").join(&digest), bytes)?;
            let _ = writeln!(files, " {digest} {} {below}/{name}", bytes.len());
        }
        Ok(())
    }

    fn release_text(&self, suite: &Suite, files: &str) -> String {
        let (origin, codename) = match self.release.family() {
            Family::Ubuntu => ("Ubuntu", self.release.codename),
            Family::Debian | Family::Alpine => ("Debian", suite.suite),
        };
        let mut text = format!("Origin: {origin}\nLabel: {origin}\nSuite: {}\nCodename: {codename}\n", suite.suite);
        let _ = writeln!(text, "Date: {}", format_date(self.date));
        if let Some(valid_until) = self.valid_until {
            let _ = writeln!(text, "Valid-Until: {}", format_date(valid_until));
        }
        let _ = write!(
            text,
            "Acquire-By-Hash: yes\nNo-Support-for-Architecture-all: Packages\nArchitectures: all amd64 arm64\n\
             Components: {}\nDescription: smolvm test archive\nSHA256:\n{files}",
            suite.components.join(" ")
        );
        text
    }

    fn suite(&self, suite: &str) -> io::Result<&'static Suite> {
        let known = self.release.suites.iter().find(|known| known.suite == suite);
        known.ok_or_else(|| io::Error::other(format!("{} has no suite `{suite}`", self.release.codename)))
    }
}

/// The `control` file of a package.
fn control_text(deb: &[u8]) -> io::Result<String> {
    let (name, member) = ar_members(deb)
        .find(|(name, _)| name.starts_with("control.tar"))
        .ok_or_else(|| io::Error::other("a package without control.tar"))?;
    let reader: Box<dyn Read> = match name.rsplit('.').next() {
        Some("xz") => Box::new(liblzma::read::XzDecoder::new(member)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(member)?),
        Some("gz") => Box::new(flate2::read::GzDecoder::new(member)),
        _ => Box::new(member),
    };
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        if matches!(entry.path()?.to_str(), Some("./control" | "control")) {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            return Ok(text);
        }
    }
    Err(io::Error::other("a package without a control file"))
}

/// Names and contents of the members of an `ar` archive.
fn ar_members(bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = bytes.strip_prefix(b"!<arch>\n").unwrap_or_default();
    std::iter::from_fn(move || {
        let (header, after) = rest.split_at_checked(60)?;
        let name = str::from_utf8(&header[..16]).ok()?.trim_end().trim_end_matches('/');
        let size: usize = str::from_utf8(&header[48..58]).ok()?.trim_end().parse().ok()?;
        let content = after.get(..size)?;
        rest = after.get(size + size % 2..).unwrap_or_default();
        Some((name, content))
    })
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use smolvm_manifest::Distro;

    use super::*;
    use crate::deb::release::release;

    #[test]
    fn both_layouts_are_written_with_by_hash_copies() {
        for (distro, archive, suite, component) in [
            (Distro::Ubuntu2404, "ubuntu", "noble-updates", "universe"),
            (Distro::DebianBookworm, "debian-security", "bookworm-security", "main"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let row = release(distro).unwrap();
            let mut archive_on_disk = TestArchive::new(folder.path(), row, TestKey::generate(1_000), 2_000);
            archive_on_disk.add_stanza(suite, component, "Package: hello\nVersion: 1\nArchitecture: all").unwrap();
            archive_on_disk.write().unwrap();
            let dists = archive_on_disk.archive_folder(archive).join("dists").join(suite);
            let release_text = fs::read_to_string(dists.join("InRelease")).unwrap();
            let index = dists.join(component).join("binary-arm64");
            let digest = hex::encode(Sha256::digest(fs::read(index.join("Packages.xz")).unwrap()));
            assert!(release_text.contains(&digest));
            assert!(index.join("by-hash/SHA256").join(&digest).exists());
            assert!(fs::read_to_string(index.join("Packages")).unwrap().starts_with("Package: hello\n"));
            assert!(release_text.contains("Date: Thu, 01 Jan 1970 00:33:20 UTC"));
        }
    }
}

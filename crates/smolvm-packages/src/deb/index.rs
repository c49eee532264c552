//! `Packages` files: read as they are decompressed, keeping of each stanza what resolving and downloading need.
//!
//! Bookworm's is 50 MB of text, of which a third is kept, in one piece; a package is a row of places in it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Seek, SeekFrom, Write};

use miette::Diagnostic;
use rayon::prelude::*;
use smolvm_manifest::{Arch, LockedPackage};

use super::control::Control;
use super::in_release::Compression;

/// The packages of one index.
#[derive(Debug)]
pub struct PackageIndex {
    pub(crate) archive: String,
    pub(crate) suite: String,
    pub(crate) text: String,
    pub(crate) records: Vec<Record>,
}

/// A package of an index: places in its text, and numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) name: Place,
    pub(crate) version: Place,
    pub(crate) arch: Place,
    pub(crate) pre_depends: Place,
    pub(crate) depends: Place,
    pub(crate) provides: Place,
    pub(crate) conflicts: Place,
    pub(crate) breaks: Place,
    pub(crate) path: Place,
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) priority: Priority,
    pub(crate) essential: bool,
    pub(crate) protected: bool,
    pub(crate) multi_arch_allowed: bool,
}

/// A piece of an index's text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    start: u32,
    length: u32,
}

impl Place {
    /// Where a piece of a text is in it.
    pub(crate) fn within(text: &str, piece: &str) -> Self {
        Self::new(piece.as_ptr().addr() - text.as_ptr().addr(), piece.len())
    }

    /// The limit on the whole text keeps both in range.
    fn new(start: usize, length: usize) -> Self {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { start: short(start), length: short(length) }
    }

    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start as usize..][..self.length as usize]
    }
}

/// The archive's word for how much a system needs a package, most needed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    Required,
    Important,
    Standard,
    Optional,
    Extra,
    Unknown,
}

/// An index that cannot be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the package index of {archive} {suite} cannot be read: {source}")]
#[diagnostic(
    code(smolvm::packages::index),
    help("its digest was right, so the archive itself serves it so: use another mirror, or tell whoever runs it")
)]
pub struct IndexError {
    archive: String,
    suite: String,
    source: io::Error,
}

/// More text than any index has: about seven times Debian's whole.
const MAXIMUM_TEXT: u64 = 512 << 20;

/// The longest entry of Debian's has 30 KB.
const MAXIMUM_STANZA: usize = 8 << 20;

/// Reads a `Packages` file, whose digest the caller has checked, and keeps the packages that `arch` can use.
pub fn read_index(
    file: impl Read,
    compression: Compression,
    archive: &str,
    suite: &str,
    arch: Arch,
) -> Result<PackageIndex, IndexError> {
    read_and_copy(file, compression, archive, suite, arch, &mut io::sink())
}

/// The same, with a copy of its text, for [`read_text`].
pub fn read_and_copy(
    file: impl Read,
    compression: Compression,
    archive: &str,
    suite: &str,
    arch: Arch,
    copy: &mut dyn Write,
) -> Result<PackageIndex, IndexError> {
    let mut parser = Parser::new(arch);
    let outcome = decompressed(file, compression).and_then(|text| parser.read(Copied { text, copy }));
    match outcome {
        Ok(()) => Ok(parser.index(archive, suite)),
        Err(source) => Err(IndexError { archive: archive.to_owned(), suite: suite.to_owned(), source }),
    }
}

/// Reads the text of a `Packages` file, of `size` bytes and with a digest that the caller has checked, on all cores: its packages are
/// in several indexes, in the file's order.
pub fn read_text(
    file: &(impl Read + Seek + Clone + Sync),
    size: u64,
    archive: &str,
    suite: &str,
    arch: Arch,
) -> Result<Vec<PackageIndex>, IndexError> {
    let read_part = |(start, end): (u64, u64)| {
        let mut file = file.clone();
        file.seek(SeekFrom::Start(start))?;
        let mut parser = Parser::new(arch);
        parser.read(file.take(end - start))?;
        Ok(parser.index(archive, suite))
    };
    let outcome = parts(file, size).and_then(|parts| parts.into_par_iter().map(read_part).collect());
    outcome.map_err(|source| IndexError { archive: archive.to_owned(), suite: suite.to_owned(), source })
}

/// Large enough that the cores do not wait for one that got a slow part, and that a part more costs nothing.
const PART: u64 = 4 << 20;

/// Where a text can be cut: between two stanzas.
fn parts(file: &(impl Read + Seek + Clone), size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut starts = vec![0];
    for about in (1..size / PART).map(|number| number * PART) {
        let start = next_stanza(file.clone(), about)?.unwrap_or(size);
        if starts.last().is_some_and(|last| *last < start) {
            starts.push(start);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([size]);
    Ok(starts.iter().copied().zip(ends).collect())
}

/// The first place from `start` on that follows an empty line; none where no stanza of a sane size ends.
fn next_stanza(mut file: impl Read + Seek, start: u64) -> io::Result<Option<u64>> {
    const CHUNK: u64 = 16 << 10;
    file.seek(SeekFrom::Start(start))?;
    let (mut buffer, mut searched) = (Vec::new(), 0_usize);
    while buffer.len() <= MAXIMUM_STANZA && file.by_ref().take(CHUNK).read_to_end(&mut buffer)? > 0 {
        // The first of the two line ends may have been the last byte before.
        let from = searched.saturating_sub(1);
        if let Some(end) = memchr::memmem::find(&buffer[from..], b"\n\n") {
            return Ok(Some(start + (from + end) as u64 + 2));
        }
        searched = buffer.len();
    }
    Ok(None)
}

/// A text that is copied as it is read.
struct Copied<'a, R> {
    text: R,
    copy: &'a mut dyn Write,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        self.copy.write_all(&buffer[..read])?;
        Ok(read)
    }
}

/// Those of `packages` that no index has any more, with that version and content.
pub fn missing<'i, 'p>(
    indexes: impl IntoIterator<Item = &'i PackageIndex>,
    packages: impl IntoIterator<Item = &'p LockedPackage>,
) -> Vec<&'p LockedPackage> {
    let by_version = packages.into_iter().map(|package| ((&*package.name, &*package.version), package));
    let mut missing: HashMap<(&str, &str), &LockedPackage> = by_version.collect();
    for index in indexes {
        for record in &index.records {
            let key = (record.name.of(&index.text), record.version.of(&index.text));
            let is_same = |package: &&LockedPackage| package.sha256 == hex::encode(record.sha256);
            if missing.get(&key).is_some_and(is_same) {
                missing.remove(&key);
            }
        }
    }
    let mut missing: Vec<_> = missing.into_values().collect();
    missing.sort_by(|a, b| a.name.cmp(&b.name));
    missing
}

impl PackageIndex {
    /// An index of packages by what their own files say, as it was when their archive still had them.
    pub fn of_files(archive: &str, files: &[(LockedPackage, Control)], arch: Arch) -> Self {
        let mut parser = Parser::new(arch);
        for (package, control) in files {
            let mut stanza = String::new();
            for (field, value) in control.paragraph().fields() {
                if Field::named(field.as_bytes()).is_none_or(|field| !field.is_of_archive()) {
                    let _ = writeln!(stanza, "{field}: {value}");
                }
            }
            let LockedPackage { path, size, sha256, .. } = package;
            let _ = writeln!(stanza, "Filename: {path}\nSize: {size}\nSHA256: {sha256}");
            parser.stanza(stanza.as_bytes());
        }
        parser.index(archive, "Smolfile.lock")
    }

    /// How many packages it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Where a package's name stands first in it, as a package or in a field of another one.
    pub(crate) fn first_mention(&self, name: &str) -> Option<usize> {
        let text = self.text.as_bytes();
        memchr::memmem::find_iter(text, name).find(|start| {
            let before = start.checked_sub(1).map(|at| text[at]);
            let after = text.get(start + name.len());
            matches!(before, None | Some(b'\n' | b' ' | b',' | b'|'))
                && matches!(after, None | Some(b'\n' | b' ' | b',' | b'|' | b':' | b'('))
        })
    }
}

fn decompressed<'a>(file: impl Read + 'a, compression: Compression) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::Xz => {
            // Archives write large indexes as several blocks, which are decompressed at the same time.
            let stream = liblzma::stream::MtStreamBuilder::new()
                .threads(u32::try_from(rayon::current_num_threads()).unwrap_or(1))
                .memlimit_threading(256 << 20)
                .memlimit_stop(256 << 20)
                .decoder()?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(io::BufReader::with_capacity(1 << 18, file), stream))
        }
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        Compression::None => Box::new(file),
    })
}

struct Parser {
    arch: &'static str,
    text: String,
    records: Vec<Record>,
}

impl Parser {
    fn new(arch: Arch) -> Self {
        Self { arch: arch.as_str(), text: String::new(), records: Vec::new() }
    }

    fn index(self, archive: &str, suite: &str) -> PackageIndex {
        let Self { text, records, .. } = self;
        PackageIndex { archive: archive.to_owned(), suite: suite.to_owned(), text, records }
    }

    fn read(&mut self, mut source: impl Read) -> io::Result<()> {
        const CHUNK: u64 = 1 << 20;
        let mut buffer = Vec::new();
        let mut total = 0;
        loop {
            let read = source.by_ref().take(CHUNK).read_to_end(&mut buffer)? as u64;
            total += read;
            if total > MAXIMUM_TEXT {
                return Err(io::Error::other(format!("it has more than {} MiB", MAXIMUM_TEXT >> 20)));
            }
            if read == 0 {
                self.stanza(&buffer);
                return Ok(());
            }
            let end = self.stanzas(&buffer);
            buffer.drain(..end);
            if buffer.len() > MAXIMUM_STANZA {
                return Err(io::Error::other(format!("a package's entry has more than {} MiB", MAXIMUM_STANZA >> 20)));
            }
        }
    }

    /// Takes the complete stanzas at the front of `bytes`; returns how long they are.
    fn stanzas(&mut self, bytes: &[u8]) -> usize {
        let mut start = 0;
        for end in memchr::memmem::find_iter(bytes, b"\n\n") {
            // Three line ends in a row are found once or twice, depending on where the search resumes.
            if end >= start {
                self.stanza(&bytes[start..=end]);
                start = end + 2;
            }
        }
        start
    }

    fn stanza(&mut self, bytes: &[u8]) {
        let values = values(bytes);
        let of = |field: Field| values[field as usize];
        let (arch, path) = (of(Field::Architecture), of(Field::Filename));
        let arch_fits = arch == b"all" || arch == self.arch.as_bytes();
        // A package that cannot be named, compared or verified cannot be installed.
        let (Some(size), Some(sha256)) = (number(of(Field::Size)), digest(of(Field::Sha256))) else { return };
        let (name, version) = (of(Field::Package), of(Field::Version));
        if !arch_fits || name.is_empty() || version.is_empty() || !is_inside(path) {
            return;
        }
        // The text is kept in the order in which apt reads it, with what else it mentions (see `first_mention`).
        let record = Record {
            name: self.keep(name),
            version: self.keep(version),
            arch: self.keep(arch),
            pre_depends: self.keep(of(Field::PreDepends)),
            depends: self.keep(of(Field::Depends)),
            conflicts: self.keep(of(Field::Conflicts)),
            breaks: self.keep(of(Field::Breaks)),
            provides: {
                for field in [Field::Recommends, Field::Suggests, Field::Replaces, Field::Enhances] {
                    self.keep(of(field));
                }
                self.keep(of(Field::Provides))
            },
            path: self.keep(path.strip_prefix(b"./").unwrap_or(path)),
            size,
            sha256,
            priority: priority(of(Field::Priority)),
            essential: of(Field::Essential) == b"yes",
            protected: of(Field::Protected) == b"yes" || of(Field::Important) == b"yes",
            multi_arch_allowed: of(Field::MultiArch) == b"allowed",
        };
        self.records.push(record);
    }

    fn keep(&mut self, bytes: &[u8]) -> Place {
        let start = self.text.len();
        // The check alone is several times as fast as the repair.
        match str::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(bytes)),
        }
        let place = Place::new(start, self.text.len() - start);
        self.text.push('\n');
        place
    }
}

/// The fields that are kept.
#[derive(Clone, Copy)]
enum Field {
    Package,
    Version,
    Architecture,
    PreDepends,
    Depends,
    Conflicts,
    Breaks,
    Recommends,
    Suggests,
    Replaces,
    Enhances,
    Provides,
    Filename,
    Size,
    Sha256,
    Priority,
    Essential,
    Protected,
    Important,
    MultiArch,
}

impl Field {
    const COUNT: usize = Self::MultiArch as usize + 1;

    /// Whether the archive says it, not the package.
    const fn is_of_archive(self) -> bool {
        matches!(self, Self::Filename | Self::Size | Self::Sha256)
    }

    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"Package" => Self::Package,
            b"Version" => Self::Version,
            b"Architecture" => Self::Architecture,
            b"Pre-Depends" => Self::PreDepends,
            b"Depends" => Self::Depends,
            b"Recommends" => Self::Recommends,
            b"Suggests" => Self::Suggests,
            b"Replaces" => Self::Replaces,
            b"Enhances" => Self::Enhances,
            b"Provides" => Self::Provides,
            b"Conflicts" => Self::Conflicts,
            b"Breaks" => Self::Breaks,
            b"Filename" => Self::Filename,
            b"Size" => Self::Size,
            b"SHA256" => Self::Sha256,
            b"Priority" => Self::Priority,
            b"Essential" => Self::Essential,
            b"Protected" => Self::Protected,
            b"Important" => Self::Important,
            b"Multi-Arch" => Self::MultiArch,
            _ => return None,
        })
    }
}

/// The values of a stanza's fields, folded ones with their line ends.
fn values(stanza: &[u8]) -> [&[u8]; Field::COUNT] {
    let mut values: [&[u8]; Field::COUNT] = [&[]; Field::COUNT];
    let mut folded: Option<(Field, usize)> = None;
    let mut start = 0;
    while start < stanza.len() {
        let end = memchr::memchr(b'\n', &stanza[start..]).map_or(stanza.len(), |length| start + length);
        let line = &stanza[start..end];
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if let Some((field, value_start)) = folded {
                values[field as usize] = stanza[value_start..end].trim_ascii();
            }
        } else {
            let colon = memchr::memchr(b':', line).unwrap_or(line.len());
            folded = Field::named(&line[..colon]).map(|field| (field, (start + colon + 1).min(end)));
            if let Some((field, value_start)) = folded {
                values[field as usize] = stanza[value_start..end].trim_ascii();
            }
        }
        start = end + 1;
    }
    values
}

fn number(bytes: &[u8]) -> Option<u64> {
    str::from_utf8(bytes).ok()?.parse().ok()
}

/// There are as many as packages: without a branch for each digit, this takes a third of the time of the `hex` crate.
fn digest(hexadecimal: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hexadecimal.len() != 2 * digest.len() {
        return None;
    }
    let mut all = 0;
    for (byte, digits) in digest.iter_mut().zip(hexadecimal.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(digits[0])], VALUES[usize::from(digits[1])]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(digest)
}

/// What each byte means as a hexadecimal digit; of those that are none, something above 15.
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([0xff; 256], 0);
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

fn priority(word: &[u8]) -> Priority {
    match word {
        b"required" => Priority::Required,
        b"important" => Priority::Important,
        b"standard" => Priority::Standard,
        b"optional" => Priority::Optional,
        b"extra" => Priority::Extra,
        _ => Priority::Unknown,
    }
}

/// Whether a path stays below the archive's address.
fn is_inside(path: &[u8]) -> bool {
    !path.is_empty() && !path.starts_with(b"/") && path.split(|byte| *byte == b'/').all(|part| part != b"..")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn read(text: &str) -> PackageIndex {
        read_index(text.as_bytes(), Compression::None, "debian", "bookworm", Arch::Amd64).unwrap()
    }

    fn stanza(name: &str, more: &str) -> String {
        let digest = "00".repeat(32);
        format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 7\nSHA256: {digest}\n{more}\n"
        )
    }

    #[test]
    fn stanzas_are_read_whatever_separates_them() {
        let text = format!(
            "\n{}\n{}{}",
            stanza("a", "Depends: b,\n c (>= 1)\n ,d\nDescription: x\n  long: x\n"),
            stanza("b", "Essential: yes\nPriority: required\nMulti-Arch: allowed\n"),
            stanza("c", "Protected: yes").trim_end()
        );
        let index = read(&text);
        let names: Vec<&str> = index.records.iter().map(|record| record.name.of(&index.text)).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let [a, b, c] = index.records[..] else { panic!() };
        let depends: Vec<String> =
            crate::deb::dependency::groups(a.depends.of(&index.text)).map(|group| group[0].to_string()).collect();
        assert_eq!(depends, ["b", "c (>= 1)", "d"]);
        assert!(b.essential && b.multi_arch_allowed && b.priority == Priority::Required && !b.protected && c.protected);
    }

    #[test]
    fn what_cannot_be_installed_is_left_out() {
        let good = stanza("good", "");
        for broken in [
            good.replace("Architecture: amd64", "Architecture: i386"),
            good.replace("pool/", "../pool/"),
            good.replace("pool/", "/pool/"),
            good.replace("SHA256", "MD5sum"),
            good.replace("Size: 7", "Size: x"),
            good.replace("Version: 1\n", ""),
        ] {
            assert_eq!(read(&format!("{broken}{good}")).len(), 1, "{broken}");
        }
    }

    #[test]
    fn digests_are_read_as_the_hex_crate_reads_them() {
        let good = "00ff7A8b".repeat(8);
        for text in [&*good, &good[1..], &good[2..], "", &good.replace('7', "g"), &good.replace('8', " ")] {
            assert_eq!(
                digest(text.as_bytes()).map(Vec::from),
                hex::decode(text).ok().filter(|bytes| bytes.len() == 32)
            );
        }
    }

    #[test]
    fn every_chunk_boundary_is_crossed() {
        let mut text = String::new();
        for number in 0..20_000 {
            let _ = write!(text, "{}", stanza(&format!("package-{number}"), &"X: y\n".repeat(number % 7)));
        }
        let index = read(&text);
        assert_eq!(index.len(), 20_000);
        for (number, record) in index.records.iter().enumerate() {
            assert_eq!(record.path.of(&index.text), format!("pool/package-{number}.deb"));
        }
    }

    /// Cut where it may be, a text reads as it does whole; and the copy is the text.
    #[test]
    fn a_text_in_parts_reads_as_the_whole() {
        let mut text = String::new();
        for number in 0..60_000 {
            let more = format!("Depends: a,\n b\n{}", "\n".repeat(number % 4));
            let _ = write!(text, "{}", stanza(&format!("package-{number}"), &more));
        }
        let mut copy = Vec::new();
        let whole = read_and_copy(text.as_bytes(), Compression::None, "debian", "bookworm", Arch::Amd64, &mut copy);
        assert!(copy == text.as_bytes());
        let in_parts =
            read_text(&io::Cursor::new(&text), text.len() as u64, "debian", "bookworm", Arch::Amd64).unwrap();
        assert!(in_parts.len() > 1, "{} bytes are one part", text.len());
        let whole = whole.unwrap();
        assert_eq!(whole.len(), 60_000);
        let paths = |index: &PackageIndex| -> Vec<(String, String)> {
            let of = |place: Place| place.of(&index.text).to_owned();
            index.records.iter().map(|record| (of(record.path), of(record.depends))).collect()
        };
        assert!(paths(&whole) == in_parts.iter().flat_map(paths).collect::<Vec<_>>());
    }

    #[test]
    fn a_small_or_endless_text_is_one_part() {
        let endless = "x".repeat(20 << 20);
        for (text, length) in [("", Some(0)), ("\n", Some(0)), (&*stanza("a", ""), Some(1)), (&*endless, None)] {
            let read = read_text(&io::Cursor::new(text), text.len() as u64, "debian", "bookworm", Arch::Amd64);
            assert_eq!(read.ok().map(|indexes| indexes.iter().map(PackageIndex::len).sum()), length);
        }
    }

    #[test]
    fn an_entry_without_an_end_is_an_error() {
        let endless = std::io::Read::take(std::io::repeat(b'x'), 64 << 20);
        let error = read_index(endless, Compression::None, "debian", "bookworm", Arch::Amd64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the package index of debian bookworm cannot be read: a package's entry has more than 8 MiB"
        );
    }

    #[test]
    fn a_cut_index_is_an_error() {
        use std::io::Write as _;
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(stanza("a", "").repeat(1_000).as_bytes()).unwrap();
        let compressed = encoder.finish().unwrap();
        let read = |bytes: &[u8]| read_index(bytes, Compression::Xz, "debian", "bookworm", Arch::Amd64);
        assert_eq!(read(&compressed).unwrap().len(), 1_000);
        assert!(read(&compressed[..compressed.len() - 20]).is_err());
    }
}

//! Finding a kernel and a busybox in what packages unpacked to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use object::{Object, ObjectKind};

use super::{Builtin, Kernel, KernelError, Module, modinfo, module_name, normal_name};
use crate::deb::unpack::{EntryKind, UnpackedPackage};

/// Larger than any module, small enough for memory: what a bomb runs into.
const LARGEST_MODULE: u64 = 256 << 20;

/// A regular file of an unpacked package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path in the image, without a leading slash.
    pub path: String,
    /// Where its bytes are.
    pub content: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
}

impl SourceFile {
    /// The regular files of a package that was unpacked into this scratch folder.
    pub fn of_package<'a>(package: &'a UnpackedPackage, scratch: &'a Path) -> impl Iterator<Item = Self> + 'a {
        package.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File { content, size, .. } => {
                Some(Self { path: entry.path.clone(), content: scratch.join(content), size: *size, mtime: entry.mtime })
            }
            _ => None,
        })
    }
}

pub(super) fn find(files: &[SourceFile]) -> Result<Kernel, KernelError> {
    let image = the_image(files)?;
    let mut modules: BTreeMap<String, BTreeMap<String, Module>> = BTreeMap::new();
    let mut texts: BTreeMap<&str, &SourceFile> = BTreeMap::new();
    let mut releases = BTreeSet::new();
    for file in files {
        let Some((release, path)) = below_modules(&file.path) else { continue };
        match module_name(path) {
            Some(name) => {
                let module = Module { path: path.to_owned(), source: file.clone() };
                modules.entry(release.to_owned()).or_default().insert(name, module);
            }
            None => drop(texts.insert(path, file)),
        }
        releases.insert(release.to_owned());
    }
    let mut releases = releases.into_iter();
    let release = releases.next().ok_or_else(|| KernelError::NoModules { image: image.path.clone() })?;
    if let Some(second) = releases.next() {
        return Err(KernelError::Ambiguous { found: [release, second].into_iter().chain(releases).collect() });
    }
    let read = |name: &str| {
        texts.get(name).map_or(Ok(Vec::new()), |file| fs_err::read(&file.content)).map_err(KernelError::Unreadable)
    };
    let order = String::from_utf8_lossy(&read("modules.order")?).lines().filter_map(module_name).collect();
    let builtin = Builtin::parse(read("modules.builtin")?, read("modules.builtin.modinfo")?);
    Ok(Kernel { image: image.clone(), modules: modules.remove(&release).unwrap_or_default(), release, builtin, order })
}

fn the_image(files: &[SourceFile]) -> Result<&SourceFile, KernelError> {
    let is_image = |file: &&SourceFile| match file.path.strip_prefix("boot/") {
        Some(name) => name == "vmlinuz" || name.starts_with("vmlinuz-"),
        None => below_modules(&file.path).is_some_and(|(_, path)| path == "vmlinuz"),
    };
    let found: Vec<&SourceFile> = files.iter().filter(is_image).collect();
    match found.as_slice() {
        [image] => Ok(image),
        [] => Err(KernelError::NoImage),
        _ => Err(KernelError::Ambiguous { found: found.iter().map(|file| file.path.clone()).collect() }),
    }
}

/// `usr/lib/modules/6.1.0/kernel/x.ko` to `6.1.0` and `kernel/x.ko`.
fn below_modules(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?.split_once('/')
}

impl Builtin {
    fn parse(text: Vec<u8>, modinfo: Vec<u8>) -> Self {
        let modules = String::from_utf8_lossy(&text).lines().filter_map(module_name).collect();
        let aliases = modinfo::builtin_aliases(&modinfo)
            .map(|(module, alias)| (normal_name(&alias), normal_name(&module)))
            .collect();
        Self { modules, aliases, text, modinfo }
    }
}

/// The static busybox of the unpacked package `busybox-static`, checked to be one.
pub fn busybox(files: &[SourceFile]) -> Result<Vec<u8>, KernelError> {
    let file = files
        .iter()
        .find(|file| matches!(file.path.as_str(), "bin/busybox" | "usr/bin/busybox" | "bin/busybox.static"))
        .ok_or(KernelError::NoBusybox)?;
    let bytes = fs_err::read(&file.content).map_err(KernelError::Unreadable)?;
    if is_static_program(&bytes) { Ok(bytes) } else { Err(KernelError::BusyboxNotStatic) }
}

fn is_static_program(bytes: &[u8]) -> bool {
    let Ok(program) = object::File::parse(bytes) else { return false };
    let executable = matches!(program.kind(), ObjectKind::Executable | ObjectKind::Dynamic);
    executable && program.section_by_name(".interp").is_none()
}

/// A module's bytes, decompressed as its path's ending says.
pub(super) fn read_decompressed(content: &Path, path: &str) -> io::Result<Vec<u8>> {
    let file = io::BufReader::new(fs_err::File::open(content)?);
    let mut bytes = Vec::new();
    let ending = path.rsplit('.').next();
    let mut reader: Box<dyn Read> = match ending {
        Some("xz") => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    reader.by_ref().take(LARGEST_MODULE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_MODULE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it unpacks to more than {LARGEST_MODULE} bytes"),
        ));
    }
    Ok(bytes)
}

//! A .deb becomes metadata in memory and files in the scratch folder.

mod compression;
mod control_files;
mod data;
mod error;
mod links;
mod paths;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use smolvm_fetch::VerifiedFile;
use smolvm_manifest::LockedPackage;

pub use self::control_files::{Conffile, ControlFiles};
pub use self::error::{UnpackError, UnpackProblem};

use self::compression::Compression;
use super::ar::{Archive, Member};
use super::control::Control;

/// A package whose files lie in the scratch folder, ready to be placed.
#[derive(Debug, Clone)]
pub struct UnpackedPackage {
    /// What it says about itself.
    pub control: Control,
    /// Maintainer scripts, conffiles, triggers and the other files that dpkg keeps.
    pub control_files: ControlFiles,
    /// What it brings, in the archive's order: a folder comes before what is in it.
    pub entries: Vec<Entry>,
}

/// A file, folder or link that a package brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, `/`-separated; empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name, which counts where the image knows it.
    pub user: Option<String>,
    /// The group's name, which counts where the image knows it.
    pub group: Option<String>,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// Where its bytes are, relative to the scratch folder.
        content: String,
        /// Bytes.
        size: u64,
        /// Extended attributes by full name.
        xattrs: BTreeMap<String, Vec<u8>>,
        /// Its MD5, hex, for packages that do not bring their own `md5sums`.
        md5: Option<String>,
    },
    /// A symbolic link.
    Symlink {
        /// What it says, as it is.
        target: String,
    },
    /// One more name of an earlier file of the package.
    HardLink {
        /// That file's path.
        target: String,
    },
}

/// How much a package may hold: what a bomb runs into.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes that one compressed byte may become, once `unsuspicious_bytes` are exceeded.
    pub ratio: u64,
    /// Bytes that are not held against a package, however well they were compressed.
    pub unsuspicious_bytes: u64,
    /// Files, folders and links.
    pub entries: usize,
    /// Bytes of all control files together, which are held in memory.
    pub control_bytes: u64,
}

impl Default for UnpackLimits {
    /// Far above any real package: the largest of Debian hold a few GiB and 100,000 files; firmware images, which are
    /// mostly zeros, shrink to a fiftieth.
    fn default() -> Self {
        Self { bytes: 16 << 30, ratio: 250, unsuspicious_bytes: 64 << 20, entries: 2_000_000, control_bytes: 48 << 20 }
    }
}

/// Unpacks `deb`, which must be the `locked` package, into `<scratch>/content/<package>/`.
///
/// Files get their content, time and mode (without setuid and setgid, which changing the owner would take away). Nothing
/// is synced to disk: the folder is scratch. Any number of packages may be unpacked at once.
pub fn unpack(
    deb: VerifiedFile,
    locked: &LockedPackage,
    scratch: &Path,
    limits: &UnpackLimits,
) -> Result<UnpackedPackage, UnpackError> {
    unpack_unless(&AtomicBool::new(false), deb, locked, scratch, limits)
}

/// [`unpack`], which fails soon after `stopped` was set.
pub(crate) fn unpack_unless(
    stopped: &AtomicBool,
    deb: VerifiedFile,
    locked: &LockedPackage,
    scratch: &Path,
    limits: &UnpackLimits,
) -> Result<UnpackedPackage, UnpackError> {
    unpack_checked(Stoppable { deb, stopped }, scratch, limits, |control| check_identity(control, locked))
        .map_err(|problem| UnpackError { package: locked.name.clone(), problem })
}

/// An archive that cannot be read any more once somebody has said so.
struct Stoppable<'a> {
    deb: VerifiedFile,
    stopped: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.deb.read(buffer)
    }
}

/// Reads only what `deb` says about itself, which is enough to plan with, and takes no time.
pub fn read_control(
    deb: VerifiedFile,
    locked: &LockedPackage,
    limits: &UnpackLimits,
) -> Result<(Control, ControlFiles), UnpackError> {
    let read = || {
        let mut archive = open(deb)?;
        let (control, files) = read_control_member(&mut archive, limits)?;
        check_identity(&control, locked)?;
        Ok((control, files))
    };
    read().map_err(|problem| UnpackError { package: locked.name.clone(), problem })
}

/// Unpacks a package whose control file passes `check`; nothing is written before that.
fn unpack_checked(
    deb: impl Read,
    scratch: &Path,
    limits: &UnpackLimits,
    check: impl FnOnce(&Control) -> Result<(), UnpackProblem>,
) -> Result<UnpackedPackage, UnpackProblem> {
    let mut archive = open(deb)?;
    let (control, control_files) = read_control_member(&mut archive, limits)?;
    check(&control)?;
    let (member, compression) = find_member(&mut archive, "data.tar")?;
    let entries = data::unpack(member, compression, &control, &control_files, scratch, limits)?;
    links::check(&entries)?;
    Ok(UnpackedPackage { control, control_files, entries })
}

/// Reads the first member, which says what format the rest has.
fn open<R: Read>(deb: R) -> Result<Archive<R>, UnpackProblem> {
    let mut archive = Archive::new(deb).map_err(UnpackProblem::damaged)?;
    let Some(member) = archive.next_member().map_err(UnpackProblem::damaged)? else {
        return Err(UnpackProblem::Damaged { reason: "it is empty".to_owned() });
    };
    let mut version = String::new();
    let is_format = member.name == "debian-binary";
    if !is_format || member.take(64).read_to_string(&mut version).is_err() || !version.starts_with("2.") {
        return Err(UnpackProblem::Damaged { reason: "it is not a .deb of format 2".to_owned() });
    }
    Ok(archive)
}

fn read_control_member<R: Read>(
    archive: &mut Archive<R>,
    limits: &UnpackLimits,
) -> Result<(Control, ControlFiles), UnpackProblem> {
    let (member, compression) = find_member(archive, "control.tar")?;
    let control_files = control_files::read(member, compression, limits)?;
    let control = Control::parse(&control_files.control)?;
    Ok((control, control_files))
}

/// The next member must be `wanted` in some compression; only such whose name begins with `_` may come between.
fn find_member<'a, R: Read>(
    archive: &'a mut Archive<R>,
    wanted: &'static str,
) -> Result<(Member<'a, R>, Compression), UnpackProblem> {
    // Two steps: a borrow cannot be returned out of a loop that would borrow again.
    let name = loop {
        match archive.next_member().map_err(UnpackProblem::damaged)? {
            Some(member) if member.name.starts_with('_') => {}
            Some(member) => break member.name,
            None => return Err(UnpackProblem::Damaged { reason: format!("it has no {wanted}") }),
        }
    };
    let Some(suffix) = name.strip_prefix(wanted) else {
        return Err(UnpackProblem::Damaged { reason: format!("it has `{name}` where {wanted} should be") });
    };
    let Some(compression) = Compression::of(suffix) else {
        return Err(UnpackProblem::Damaged { reason: format!("`{name}` is compressed in a way that is not known") });
    };
    Ok((archive.current_member(name), compression))
}

fn check_identity(control: &Control, locked: &LockedPackage) -> Result<(), UnpackProblem> {
    if control.name == locked.name && control.version == locked.version && control.arch == locked.arch {
        return Ok(());
    }
    Err(UnpackProblem::OtherPackage {
        found: format!("{} {} ({})", control.name, control.version, control.arch),
        expected: format!("{} {} ({})", locked.name, locked.version, locked.arch),
    })
}

/// [`unpack`], of any package.
#[cfg(test)]
pub(crate) fn unpack_from(
    deb: impl Read,
    scratch: &Path,
    limits: &UnpackLimits,
) -> Result<UnpackedPackage, UnpackProblem> {
    unpack_checked(deb, scratch, limits, |_| Ok(()))
}

#[cfg(test)]
mod tests;

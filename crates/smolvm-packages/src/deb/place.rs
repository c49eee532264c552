//! Where each entry of a package goes, and whose it is from then on: what dpkg decides while it unpacks.

use std::collections::{BTreeMap, HashSet};

use miette::Diagnostic;
use smolvm_sandbox::PlaceOp;
use thiserror::Error;

use super::control::Control;
use super::database::{Claim, ConffileRecord, Database};
use super::dependency;
use super::diversions::Diversion;
use super::unpack::{Entry, EntryKind, UnpackedPackage};

pub use super::database::TriggerError;

#[cfg(test)]
mod tests;

/// The ending of a conffile that dpkg has yet to put into its place.
const NEW: &str = ".dpkg-new";

/// A package that cannot be placed beside the others.
#[derive(Debug, Error, Diagnostic)]
pub enum PlaceError {
    /// Two packages have the same file.
    #[error("the package {package} has the file /{path}, which the package {other} has too")]
    #[diagnostic(
        code(smolvm::deb::file_conflict),
        help(
            "leave out one of the two; if both come from the distribution, this is a mistake there: other versions, or one \
             package less, will help"
        )
    )]
    Conflict {
        /// The package that comes later.
        package: String,
        /// The file, relative to the root.
        path: String,
        /// The package that came before it.
        other: String,
    },

    /// A package has a file by the very name to which another one is diverted.
    #[error("the package {package} has the file /{path}, to which a script has diverted /{origin}")]
    #[diagnostic(
        code(smolvm::deb::diverted_conflict),
        help("leave out the package that brings the diversion, or this one")
    )]
    Diverted {
        /// The package.
        package: String,
        /// The file, relative to the root.
        path: String,
        /// The file that was diverted, relative to the root.
        origin: String,
    },

    /// It is there already.
    #[error("the package {package} is to be installed, and its version {version} is installed already")]
    #[diagnostic(
        code(smolvm::deb::already_installed),
        help("packages are never upgraded in an image: build without the cached layers that hold the other version")
    )]
    AlreadyInstalled {
        /// The package.
        package: String,
        /// The version that is there.
        version: String,
    },

    /// Its `triggers` file cannot be followed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Triggers(#[from] TriggerError),
}

/// Records the package in the database as unpacked, and returns what is to be done in the image for it.
///
/// Follows dpkg: diverted files go elsewhere, conffiles get the ending that `dpkg --configure` looks for, owners are
/// taken by name where the image knows it, `Replaces` decides who keeps a file that two packages have.
pub(crate) fn place(package: &UnpackedPackage, database: &mut Database) -> Result<Vec<PlaceOp>, PlaceError> {
    let control = &package.control;
    if let Some(installed) = database.get(&control.name) {
        let (package, version) = (control.name.clone(), installed.control.version.clone());
        return Err(PlaceError::AlreadyInstalled { package, version });
    }
    database.activate_named(package)?;
    let all_conffiles = &package.control_files.conffiles;
    let shipped_conffiles = all_conffiles.iter().filter(|conffile| !conffile.remove_on_upgrade);
    let conffiles: HashSet<&str> = shipped_conffiles.map(|conffile| conffile.path.as_str()).collect();
    // Before anything is taken over from the packages that know.
    let mut records: Vec<ConffileRecord<'_>> = all_conffiles
        .iter()
        .map(|conffile| ConffileRecord { conffile, digest: database.conffile_digest(&conffile.path), is_kept: false })
        .collect();
    let mut placement = Placement { control, database, conffiles, ops: Vec::with_capacity(package.entries.len()) };
    let mut claims: Vec<Claim<'_>> = Vec::with_capacity(package.entries.len());
    let mut digests: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in &package.entries {
        let path = entry.path.as_str();
        if !placement.entry(entry)? {
            for record in records.iter_mut().filter(|record| record.conffile.path == path) {
                record.is_kept = true;
            }
            continue;
        }
        let md5 = match &entry.kind {
            EntryKind::File { md5, .. } => md5.as_deref(),
            EntryKind::HardLink { target } => digests.get(target.as_str()).copied(),
            EntryKind::Directory | EntryKind::Symlink { .. } => None,
        };
        if let Some(md5) = md5 {
            digests.insert(path, md5);
        }
        claims.push(Claim { path, is_folder: entry.kind == EntryKind::Directory, md5 });
    }
    let ops = placement.ops;
    database.record(package, &claims, &records)?;
    Ok(ops)
}

/// One package on its way into the image.
struct Placement<'a> {
    control: &'a Control,
    database: &'a mut Database,
    /// Those that the package brings.
    conffiles: HashSet<&'a str>,
    ops: Vec<PlaceOp>,
}

/// What to do with a path that another package has.
enum Verdict {
    /// It is placed, and the other package no longer has it.
    Place,
    /// The other package keeps it, and this one never gets it.
    Keep,
    /// It is a folder for both, and stays as it is.
    Share,
}

impl Placement<'_> {
    /// Places one entry; `false` when another package keeps it.
    fn entry(&mut self, entry: &Entry) -> Result<bool, PlaceError> {
        let path = entry.path.as_str();
        let name = self.control.name.as_str();
        let diversions = self.database.diversions();
        if let Some(origin) = diversions.origin(path) {
            let (package, path, origin) = (name.to_owned(), path.to_owned(), origin.to_owned());
            return Err(PlaceError::Diverted { package, path, origin });
        }
        let diverter = diversions.get(path).and_then(Diversion::package).map(str::to_owned);
        let placed_at = diversions.destination(path, name).to_owned();
        let destination = self.destination(path);
        let verdict = self.verdict(entry)?;
        self.database.activate_file(&placed_at, &self.control.database_name());
        match verdict {
            Verdict::Keep => return Ok(false),
            Verdict::Share => return Ok(true),
            Verdict::Place => {}
        }
        if !path.is_empty() {
            let op = self.op(entry, destination);
            self.ops.push(op);
        }
        // The package that diverts all others leaves them theirs; and to any other package, so does the diverter.
        if entry.kind != EntryKind::Directory && diverter.as_deref() != Some(name) {
            let is_conffile = self.conffiles.contains(path);
            self.database.take_over(path, is_conffile, diverter.as_deref());
        }
        Ok(true)
    }

    /// Decides between this package and those that have the path already.
    fn verdict(&self, entry: &Entry) -> Result<Verdict, PlaceError> {
        let path = entry.path.as_str();
        let diverter = self.database.diversions().get(path).and_then(Diversion::package);
        let mut verdict = Verdict::Place;
        for (other, is_folder) in self.database.owners(path) {
            let other_name = other.control.name.as_str();
            if diverter.is_some_and(|diverter| diverter == other_name || diverter == self.control.name) {
                continue;
            }
            match (&entry.kind, is_folder) {
                // What it was when the other package came is unknown: a folder, in any sound archive.
                (EntryKind::Directory, Some(true) | None) => continue,
                // A link never takes the place of a folder.
                (EntryKind::Symlink { .. }, Some(true)) => {
                    verdict = Verdict::Share;
                    continue;
                }
                _ => {}
            }
            if self.conffiles.contains(path) && other.has_obsolete_conffile(path) {
                continue;
            }
            if replaces(self.control, &other.control) {
                continue;
            }
            if replaces(&other.control, self.control) {
                verdict = Verdict::Keep;
                continue;
            }
            return Err(PlaceError::Conflict {
                package: self.control.name.clone(),
                path: path.to_owned(),
                other: other_name.to_owned(),
            });
        }
        Ok(verdict)
    }

    fn op(&self, entry: &Entry, path: String) -> PlaceOp {
        let accounts = self.database.accounts();
        let known = |name: &Option<String>, find: &dyn Fn(&str) -> Option<u32>| name.as_deref().and_then(find);
        let mut uid = known(&entry.user, &|name| accounts.user(name)).unwrap_or(entry.uid);
        let mut gid = known(&entry.group, &|name| accounts.group(name)).unwrap_or(entry.gid);
        let (mut mode, mtime) = (entry.mode, entry.mtime);
        if let Some(overridden) = self.database.stat_override(&entry.path) {
            (uid, gid, mode) = (overridden.uid, overridden.gid, overridden.mode);
        }
        match &entry.kind {
            EntryKind::Directory => PlaceOp::Directory { path, mode, uid, gid, mtime },
            EntryKind::File { content, xattrs, .. } => {
                let (content, xattrs) = (content.clone(), xattrs.clone());
                PlaceOp::File { path, content, mode, uid, gid, mtime, xattrs }
            }
            EntryKind::Symlink { target } => PlaceOp::Symlink { path, target: target.clone(), uid, gid, mtime },
            EntryKind::HardLink { target } => PlaceOp::HardLink { path, target: self.destination(target) },
        }
    }

    /// Where this package's file of that path lies once it is placed.
    fn destination(&self, path: &str) -> String {
        let destination = self.database.diversions().destination(path, &self.control.name);
        let ending = if self.conffiles.contains(path) { NEW } else { "" };
        format!("{destination}{ending}")
    }
}

/// Whether files of `old` may become those of `new`.
fn replaces(new: &Control, old: &Control) -> bool {
    dependency::entries(new.field("Replaces").unwrap_or_default()).any(|replaced| {
        replaced.name == old.name && replaced.condition.is_none_or(|condition| condition.holds_for(&old.version))
    })
}

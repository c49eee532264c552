//! Whether packages may be installed after others with which a clean build installs them together: whether they commute.
//!
//! The image must be the same either way. So they run no scripts, set off no triggers but those that look at nothing but the final image,
//! bring what nobody else has, leave the others in their order, and no script of the others speaks of them.

mod error;
mod scripts;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use smolvm_rootfs::{Inode, Kind, RootTree};

pub use self::error::Refusal;

use self::scripts::Scripts;
use super::control::Control;
use super::database::{Database, Installed, TriggerNames};
use super::plan::{Wave, plan};
use super::unpack::{ControlFiles, Entry, EntryKind, UnpackedPackage};

/// Files of the control member that only say something.
const CONTROL_FILES: [&str; 5] = ["conffiles", "md5sums", "shlibs", "symbols", "triggers"];

/// The trigger whose work is a function of the final image, and the package that does it.
const LDCONFIG: (&str, &str) = ("ldconfig", "libc-bin");

/// An image into which packages were installed, and to which others may be added.
#[derive(Debug)]
pub struct InstalledImage<'a> {
    tree: &'a RootTree,
    /// The packages that were installed together, which a clean build installs together with the added ones.
    together: BTreeSet<&'a str>,
    /// The newest time that a file of a package has, seconds since 1970.
    epoch: i64,
}

/// What a package says about itself already keeps it from being added.
pub fn check_control(control: &Control, files: &ControlFiles) -> Result<(), Refusal> {
    let package = || control.name.clone();
    if let Some((file, _)) = files.iter().find(|(name, _)| !CONTROL_FILES.contains(name)) {
        return Err(Refusal::ControlFile { package: package(), file: file.to_owned() });
    }
    if !triggers(control, files)?.interests.is_empty() {
        return Err(Refusal::Waits { package: package() });
    }
    if control.is_essential() {
        return Err(Refusal::Essential { package: package() });
    }
    match control.field("Pre-Depends") {
        Some(_) => Err(Refusal::PreDepends { package: package() }),
        None => Ok(()),
    }
}

fn triggers<'a>(control: &Control, files: &'a ControlFiles) -> Result<TriggerNames<'a>, Refusal> {
    let text = std::str::from_utf8(files.get("triggers").unwrap_or_default()).unwrap_or("not UTF-8");
    Ok(TriggerNames::parse(text, &control.name)?)
}

impl<'a> InstalledImage<'a> {
    /// An image with this tree, in which `together` are the packages that a clean build would install along with the added ones.
    pub fn new(tree: &'a RootTree, together: impl IntoIterator<Item = &'a str>, epoch: i64) -> Self {
        Self { tree, together: together.into_iter().collect(), epoch }
    }

    /// Whether the packages may be added: the image is then that of a clean build of all.
    pub fn check(&self, added: &[&UnpackedPackage]) -> Result<(), Refusal> {
        for package in added {
            check_control(&package.control, &package.control_files)?;
        }
        let database = Database::load(&mut |path| Ok(self.read(path)))?;
        self.check_order(added, &database)?;
        self.check_triggers(added, &database)?;
        let places = self.check_places(added, &database)?;
        Scripts::read(self, &database).check(self, &places)
    }

    /// The bytes of a file, if there is one.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.tree.read(path).ok()
    }

    /// The others must be installed in the order in which they were.
    fn check_order(&self, added: &[&UnpackedPackage], database: &Database) -> Result<(), Refusal> {
        let others = database.packages().filter(|package| self.together.contains(package.control.name.as_str()));
        let others: Vec<Control> = others.map(|package| package.control.clone()).collect();
        let all: Vec<Control> = others.iter().chain(added.iter().map(|package| &package.control)).cloned().collect();
        if order(&others, &self.together) == order(&all, &self.together) { Ok(()) } else { Err(Refusal::Order) }
    }

    /// Nobody may wait for what they set off, but for whom it makes no difference.
    fn check_triggers(&self, added: &[&UnpackedPackage], database: &Database) -> Result<(), Refusal> {
        let mut ldconfig_runs = false;
        for UnpackedPackage { control, control_files, .. } in added {
            for name in triggers(control, control_files)?.activated {
                ldconfig_runs |= name == LDCONFIG.0;
                let waiting = self.waiting_for(name, database);
                if let Some(other) = waiting.into_iter().find(|other| (name, other.as_str()) != LDCONFIG) {
                    let (package, trigger) = (control.name.clone(), name.to_owned());
                    return Err(Refusal::Trigger { package, trigger, other });
                }
            }
        }
        for (package, entry) in entries(added) {
            if !ldconfig_runs && concerns_ldconfig(&entry.path) {
                let (package, path) = (package.control.name.clone(), entry.path.clone());
                return Err(Refusal::Library { package, path });
            }
        }
        Ok(())
    }

    /// The packages that wait for a trigger.
    fn waiting_for(&self, name: &str, database: &Database) -> Vec<String> {
        if let Some(path) = name.strip_prefix('/') {
            return database.watcher(path).map(str::to_owned).into_iter().collect();
        }
        let text = self.read(&format!("var/lib/dpkg/triggers/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(|line| package_of(line).to_owned()).collect()
    }

    /// Every file must be new, and every folder the same for all who have it. Returns where they all lie.
    fn check_places<'p>(&self, added: &[&'p UnpackedPackage], database: &Database) -> Result<Places<'p>, Refusal> {
        let mut places = Places::default();
        for (package, entry) in entries(added) {
            let refused =
                |reason| Refusal::Path { package: package.control.name.clone(), path: entry.path.clone(), reason };
            let place = self.place(&entry.path).ok_or_else(|| refused("lies behind a link"))?;
            if !is_roots(entry) {
                return Err(refused("is not root's"));
            }
            for path in [entry.path.as_str(), &place] {
                let diversions = database.diversions();
                if diversions.get(path).is_some() || diversions.origin(path).is_some() {
                    return Err(refused("is diverted"));
                }
                if database.stat_override(path).is_some() {
                    return Err(refused("has another owner or mode in the image"));
                }
                if let Some(other) = database.watcher(path) {
                    let (package, trigger) = (package.control.name.clone(), format!("/{path}"));
                    return Err(Refusal::Trigger { package, trigger, other: other.to_owned() });
                }
            }
            let is_there = self.tree.get(&place);
            if is_there.is_none() && (database.is_owned(&entry.path) || database.is_owned(&place)) {
                return Err(refused("is another package's, and is gone"));
            }
            let shared = is_there.is_none_or(|inode| is_folder_of(inode, entry)) && places.add(place, package, entry);
            if !shared {
                return Err(refused("is there already"));
            }
        }
        self.check_times(&places)?;
        Ok(places)
    }

    /// A folder has the time of the first package that brings it, until something is put into it.
    fn check_times(&self, places: &Places<'_>) -> Result<(), Refusal> {
        let filled: HashSet<&str> =
            places.0.keys().filter(|path| self.tree.get(path).is_none()).filter_map(|path| above(path)).collect();
        for (path, owners) in places.0.iter().filter(|(path, _)| !filled.contains(path.as_str())) {
            let is_other = |(_, entry): &&(&UnpackedPackage, &Entry)| match self.tree.get(path) {
                Some(inode) => inode.mtime <= self.epoch && inode.mtime != entry.mtime,
                None => entry.mtime != owners[0].1.mtime,
            };
            if let Some((package, _)) = owners.iter().find(is_other) {
                let (package, path) = (package.control.name.clone(), path.clone());
                return Err(Refusal::Path { package, path, reason: "is a folder with another time" });
            }
        }
        Ok(())
    }

    /// Where a path of a package lies: the links of a merged `/usr` are followed; no other link may be on the way.
    fn place(&self, path: &str) -> Option<String> {
        let top = path.split('/').next().unwrap_or_default();
        let is_merged = match self.tree.get(top).map(|inode| &inode.kind) {
            Some(Kind::Symlink(target)) => target.strip_prefix("usr/") == Some(top),
            _ => false,
        };
        let place = if is_merged { Cow::Owned(format!("usr/{path}")) } else { Cow::Borrowed(path) };
        let mut folders = std::iter::successors(above(&place), |path| above(path));
        let is_clear = folders.all(|path| self.tree.get(path).is_none_or(Inode::is_directory));
        is_clear.then(|| place.into_owned())
    }
}

/// Where all entries of the added packages lie, and whose they are: several for folders alone.
#[derive(Default)]
struct Places<'p>(BTreeMap<String, Vec<(&'p UnpackedPackage, &'p Entry)>>);

impl<'p> Places<'p> {
    /// Adds an entry; `false` when another one is there that is not the same folder.
    fn add(&mut self, place: String, package: &'p UnpackedPackage, entry: &'p Entry) -> bool {
        let owners = self.0.entry(place).or_default();
        let is_same = |(_, other): &(&UnpackedPackage, &Entry)| {
            let kinds = [&other.kind, &entry.kind];
            kinds.iter().all(|kind| **kind == EntryKind::Directory) && other.mode == entry.mode
        };
        let fits = owners.iter().all(is_same);
        owners.push((package, entry));
        fits
    }
}

/// What is unpacked and what is configured in each wave, of these packages alone.
fn order(controls: &[Control], only: &BTreeSet<&str>) -> Vec<(Vec<String>, Vec<String>)> {
    let of_them = |names: Vec<String>| names.into_iter().filter(|name| only.contains(name.as_str())).collect();
    let waves = plan(controls).into_iter().map(|Wave { unpack, configure, .. }| (of_them(unpack), of_them(configure)));
    waves.filter(|wave: &(Vec<String>, Vec<String>)| !wave.0.is_empty() || !wave.1.is_empty()).collect()
}

/// Every entry but the root folder, which all packages bring.
fn entries<'p>(packages: &[&'p UnpackedPackage]) -> impl Iterator<Item = (&'p UnpackedPackage, &'p Entry)> {
    let all = packages.iter().copied().flat_map(|package| package.entries.iter().map(move |entry| (package, entry)));
    all.filter(|(_, entry)| !entry.path.is_empty())
}

/// Names count where the image knows them; which numbers they have there may depend on the order of scripts.
fn is_roots(entry: &Entry) -> bool {
    let is_root = |number, name: &Option<String>| number == 0 && name.as_deref().is_none_or(|name| name == "root");
    is_root(entry.uid, &entry.user) && is_root(entry.gid, &entry.group)
}

fn is_folder_of(inode: &Inode, entry: &Entry) -> bool {
    entry.kind == EntryKind::Directory
        && inode.is_directory()
        && (inode.mode, inode.uid, inode.gid) == (entry.mode, entry.uid, entry.gid)
}

/// What ldconfig reads. Where nobody calls it for such a file, it would find it only when called for another one.
fn concerns_ldconfig(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    (["lib", "ld-"].iter().any(|start| name.starts_with(start)) && name.contains(".so"))
        || path.starts_with("etc/ld.so.")
}

/// The folder that a path is in, but for the root.
fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above)
}

/// The package that a line of a trigger's record names: `libc-bin`, `man-db/noawait`, `x:amd64`.
fn package_of(line: &str) -> &str {
    line.split(['/', ':']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;

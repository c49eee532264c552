//! All packages of all indexes that a resolution may choose from.

use std::cmp::Ordering;
use std::fmt;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use smolvm_manifest::{Arch, LockedPackage, PackageLayer};

use super::dependency::{Dependency, entries, groups};
use super::index::{PackageIndex, Place, Priority, Record};
use super::version::compare;

/// The packages of several indexes, by name and by what they provide.
pub struct Universe {
    arch: Arch,
    indexes: Vec<PackageIndex>,
    /// The number of the first package of each index.
    starts: Vec<u32>,
    by_name: HashTable<NameId>,
    hasher: DefaultHashBuilder,
    names: Vec<Name>,
    /// The name of each package.
    name_of: Vec<NameId>,
}

/// A package of a [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(pub(crate) u32);

/// A name that a package of a [`Universe`] has or provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NameId(pub(crate) u32);

struct Name {
    /// Where it stands: an index, and a place in its text. A copy of each would take as long as all else here.
    index: u32,
    place: Place,
    /// The packages of this name, newest first; of equal versions the one whose index was given first.
    versions: Versions,
    providers: Vec<PackageId>,
}

/// Most names have one version, which needs no memory of its own.
enum Versions {
    None,
    One(PackageId),
    Many(Vec<PackageId>),
}

impl Versions {
    fn push(&mut self, id: PackageId) {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(first) => *self = Self::Many(vec![*first, id]),
            Self::Many(ids) => ids.push(id),
        }
    }

    fn as_slice(&self) -> &[PackageId] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// A view of one package.
#[derive(Clone, Copy)]
pub struct Package<'u> {
    index: &'u PackageIndex,
    record: &'u Record,
}

impl Universe {
    /// Puts indexes together. Their order decides between equal versions of a package: the first one counts.
    pub fn new(arch: Arch, indexes: Vec<PackageIndex>) -> Self {
        let total = indexes.iter().map(PackageIndex::len).sum();
        let mut universe = Self {
            arch,
            indexes,
            starts: Vec::new(),
            by_name: HashTable::with_capacity(total + total / 4),
            hasher: DefaultHashBuilder::default(),
            names: Vec::with_capacity(total + total / 4),
            name_of: Vec::with_capacity(total),
        };
        universe.enter_packages();
        universe
    }

    /// The architecture that its packages are for.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The suites that its packages come from, each once.
    pub fn suites(&self) -> Vec<&str> {
        let mut suites: Vec<&str> = Vec::new();
        for index in &self.indexes {
            if !suites.contains(&index.suite.as_str()) {
                suites.push(&index.suite);
            }
        }
        suites
    }

    /// A view of a package.
    pub fn package(&self, id: PackageId) -> Package<'_> {
        let index = self.starts.partition_point(|start| *start <= id.0) - 1;
        let index_start = self.starts[index];
        let index = &self.indexes[index];
        Package { index, record: &index.records[(id.0 - index_start) as usize] }
    }

    /// The newest package of a name.
    pub fn newest(&self, name: &str) -> Option<PackageId> {
        self.versions(self.find(name)?).first().copied()
    }

    /// The very package that a lock names.
    pub fn locked(&self, package: &LockedPackage) -> Option<PackageId> {
        let versions = self.versions(self.find(&package.name)?);
        versions.iter().copied().find(|id| {
            let found = self.package(*id);
            found.version() == package.version && hex::encode(found.sha256()) == package.sha256
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        let is_same = |id: &NameId| self.text_of(*id) == name;
        self.by_name.find(self.hasher.hash_one(name), is_same).copied()
    }

    fn text_of(&self, name: NameId) -> &str {
        self.names[name.0 as usize].text(&self.indexes)
    }

    /// The packages of a name, newest first.
    pub(crate) fn versions(&self, name: NameId) -> &[PackageId] {
        self.names[name.0 as usize].versions.as_slice()
    }

    /// The packages, of any version, that provide a name.
    pub(crate) fn providers(&self, name: NameId) -> &[PackageId] {
        &self.names[name.0 as usize].providers
    }

    /// How early a package's name is heard of when the indexes are read in order.
    pub(crate) fn first_mention(&self, id: PackageId) -> (usize, usize) {
        let name = self.package(id).name();
        let mut places = self.indexes.iter().enumerate();
        places.find_map(|(number, index)| Some((number, index.first_mention(name)?))).unwrap_or((usize::MAX, 0))
    }

    pub(crate) fn name_of(&self, id: PackageId) -> NameId {
        self.name_of[id.0 as usize]
    }

    /// Every name of a real package.
    pub(crate) fn real_names(&self) -> impl Iterator<Item = &str> {
        let real = self.names.iter().filter(|name| !name.versions.as_slice().is_empty());
        real.map(|name| name.text(&self.indexes))
    }

    /// The newest package of every name, in the order of the indexes.
    pub(crate) fn newest_of_all(&self) -> impl Iterator<Item = PackageId> {
        (0..self.name_of.len()).filter_map(|number| {
            let id = PackageId(u32::try_from(number).ok()?);
            (self.versions(self.name_of(id)).first() == Some(&id)).then_some(id)
        })
    }

    /// Whether a package fulfils a dependency, by its name or by what it provides.
    pub(crate) fn fulfils(&self, id: PackageId, dependency: &Dependency<'_>) -> bool {
        let package = self.package(id);
        match dependency.qualifier {
            Some("any") => {
                package.record.multi_arch_allowed
                    && package.name() == dependency.name
                    && package.has_version(dependency)
            }
            Some(qualifier) if !self.is_own(qualifier) => false,
            _ => package.answers_to(dependency),
        }
    }

    /// Whether a package is what a `Conflicts` or `Breaks` entry means. One that a package makes about itself, by a name that it
    /// provides, means the others; that is the caller's to know.
    pub(crate) fn is_meant(&self, id: PackageId, entry: &Dependency<'_>) -> bool {
        let is_here = entry.qualifier.is_none_or(|qualifier| qualifier == "any" || self.is_own(qualifier));
        is_here && self.package(id).answers_to(entry)
    }

    fn is_own(&self, qualifier: &str) -> bool {
        qualifier == "native" || qualifier == self.arch.as_str()
    }

    fn enter_packages(&mut self) {
        let mut next = 0;
        let indexes = std::mem::take(&mut self.indexes);
        for (number, index) in indexes.iter().enumerate() {
            self.starts.push(next);
            for record in &index.records {
                let id = PackageId(next);
                next += 1;
                let name = self.enter_name(&indexes, number, record.name.of(&index.text));
                self.name_of.push(name);
                self.names[name.0 as usize].versions.push(id);
                for provided in entries(record.provides.of(&index.text)) {
                    let provided = self.enter_name(&indexes, number, provided.name);
                    let providers = &mut self.names[provided.0 as usize].providers;
                    if providers.last() != Some(&id) {
                        providers.push(id);
                    }
                }
            }
        }
        self.indexes = indexes;
        let mut names = std::mem::take(&mut self.names);
        for name in &mut names {
            let Versions::Many(versions) = &mut name.versions else { continue };
            let version = |id: PackageId| self.package(id).version();
            versions.sort_by(|a, b| compare(version(*b), version(*a)));
            versions.dedup_by(|later, first| compare(version(*later), version(*first)) == Ordering::Equal);
        }
        self.names = names;
    }

    /// The number of a name, which is a piece of the text of the index of this number.
    fn enter_name(&mut self, indexes: &[PackageIndex], index: usize, name: &str) -> NameId {
        let Self { by_name, hasher, names, .. } = self;
        let hash = hasher.hash_one(name);
        if let Some(id) = by_name.find(hash, |id| names[id.0 as usize].text(indexes) == name) {
            return *id;
        }
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let id = NameId(short(names.len()));
        let place = Place::within(&indexes[index].text, name);
        names.push(Name { index: short(index), place, versions: Versions::None, providers: Vec::new() });
        by_name.insert_unique(hash, id, |id| hasher.hash_one(names[id.0 as usize].text(indexes)));
        id
    }
}

impl Name {
    fn text<'u>(&self, indexes: &'u [PackageIndex]) -> &'u str {
        self.place.of(&indexes[self.index as usize].text)
    }
}

impl<'u> Package<'u> {
    /// Its name.
    pub fn name(&self) -> &'u str {
        self.text(self.record.name)
    }

    /// Its version.
    pub fn version(&self) -> &'u str {
        self.text(self.record.version)
    }

    /// Its `Architecture` field: `amd64`, `all`.
    pub fn arch(&self) -> &'u str {
        self.text(self.record.arch)
    }

    /// The archive that has it, by its name in the lock.
    pub fn archive(&self) -> &'u str {
        &self.index.archive
    }

    /// The suite that has it.
    pub fn suite(&self) -> &'u str {
        &self.index.suite
    }

    /// Its path below the archive's address.
    pub fn path(&self) -> &'u str {
        self.text(self.record.path)
    }

    /// Bytes of its file.
    pub fn size(&self) -> u64 {
        self.record.size
    }

    /// sha256 of its file.
    pub fn sha256(&self) -> [u8; 32] {
        self.record.sha256
    }

    /// The package as the lock names it.
    pub fn locked(&self, layer: PackageLayer) -> LockedPackage {
        LockedPackage {
            name: self.name().to_owned(),
            version: self.version().to_owned(),
            arch: self.arch().to_owned(),
            layer,
            archive: self.archive().to_owned(),
            path: self.path().to_owned(),
            size: self.size(),
            sha256: hex::encode(self.sha256()),
        }
    }

    pub(crate) fn is_essential(&self) -> bool {
        self.record.essential
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.record.protected
    }

    pub(crate) fn priority(&self) -> Priority {
        self.record.priority
    }

    /// What must be installed for it to work, each a list of alternatives: `Pre-Depends`, then `Depends`.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Vec<Dependency<'u>>> + use<'u> {
        groups(self.text(self.record.pre_depends)).chain(groups(self.text(self.record.depends)))
    }

    /// What must not be installed beside it: `Conflicts`, then `Breaks`.
    pub(crate) fn refuses(&self) -> impl Iterator<Item = Dependency<'u>> + use<'u> {
        entries(self.text(self.record.conflicts)).chain(entries(self.text(self.record.breaks)))
    }

    /// The names that it answers to beside its own.
    pub(crate) fn provides(&self) -> impl Iterator<Item = Dependency<'u>> + use<'u> {
        entries(self.text(self.record.provides))
    }

    fn answers_to(&self, dependency: &Dependency<'_>) -> bool {
        (self.name() == dependency.name && self.has_version(dependency))
            || self.provides().filter(|provided| provided.name == dependency.name).any(|provided| {
                match (dependency.condition, provided.condition) {
                    (None, _) => true,
                    (Some(condition), Some(provided)) => condition.holds_for(provided.version),
                    (Some(_), None) => false,
                }
            })
    }

    fn has_version(&self, dependency: &Dependency<'_>) -> bool {
        dependency.condition.is_none_or(|condition| condition.holds_for(self.version()))
    }

    fn text(&self, place: Place) -> &'u str {
        place.of(&self.index.text)
    }
}

impl fmt::Debug for Package<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({})", self.name(), self.version(), self.suite())
    }
}

impl fmt::Debug for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suites = self.suites();
        f.debug_struct("Universe")
            .field("arch", &self.arch)
            .field("suites", &suites)
            .field("packages", &self.name_of.len())
            .finish_non_exhaustive()
    }
}

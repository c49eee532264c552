//! Where each archive's bytes come from on this machine.

use std::collections::BTreeMap;
use std::fmt;

use miette::Diagnostic;
use smolvm_manifest::{Arch, Lock, Repository};
use thiserror::Error;

use crate::address::{Address, AddressError};
use crate::apt_sources::AptSource;
use crate::config::Config;
use crate::snapshots::{self, SnapshotAddress, SnapshotChoice, snapshot_variable};

/// The mirrors of every archive, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    archives: BTreeMap<String, Vec<Mirror>>,
    /// Where each archive keeps what its mirrors dropped.
    snapshots: BTreeMap<String, SnapshotAddress>,
}

/// One place that holds an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    address: Address,
    origin: MirrorOrigin,
}

/// Who named a mirror. The order is that in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MirrorOrigin {
    /// `repositories` of the Smolfile.
    Smolfile,
    /// `SMOLVM_MIRROR_<ARCHIVE>`.
    Variable,
    /// `mirrors` of the configuration file.
    Config,
    /// The host's own apt sources.
    Host,
    /// Nobody: the archive's public address.
    BuiltIn,
    /// An archive that keeps what mirrors drop. Asked for locked packages alone, when all others say that they have them no more.
    Snapshot,
}

/// Everything that can name a mirror.
#[derive(Clone, Copy)]
pub struct MirrorInputs<'a> {
    /// `repositories` of the Smolfile.
    pub repositories: &'a [Repository],
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The configuration file.
    pub config: &'a Config,
    /// The host's apt sources; none when the host is of another distribution than the image.
    pub host: &'a [AptSource],
    /// The architecture of the image.
    pub arch: Arch,
    /// The archives of the base.
    pub built_in: &'a [BuiltInArchive<'a>],
}

/// An archive that smolvm knows by itself.
#[derive(Debug, Clone, Copy)]
pub struct BuiltInArchive<'a> {
    /// Its name in the lock.
    pub name: &'a str,
    /// The suites that a build reads from it: they tell which of the host's apt sources serve it.
    pub suites: &'a [&'a str],
    /// Its public address.
    pub url: &'a str,
    /// Where it is as it was, with `{timestamp}` in it.
    pub snapshot: Option<&'a str>,
}

/// An address that cannot be used, and who named it.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
#[error("the mirror that {place} names cannot be used")]
#[diagnostic(code(smolvm::fetch::mirror))]
pub struct MirrorError {
    /// The variable, or the entry of the Smolfile.
    pub place: String,
    /// What is wrong with it.
    #[source]
    #[diagnostic_source]
    pub reason: AddressError,
}

impl Mirrors {
    /// Puts all mirrors in order: Smolfile, variable, configuration file, host, public address. Each address once.
    pub fn collect(inputs: &MirrorInputs<'_>) -> Result<Self, MirrorError> {
        let mut mirrors = Self::default();
        for repository in inputs.repositories {
            let place = || format!("`repositories` ({})", repository.name);
            mirrors.add(&repository.name, MirrorOrigin::Smolfile, &repository.url, place)?;
        }
        let names = inputs.built_in.iter().map(|archive| archive.name);
        let names: Vec<String> = names
            .chain(inputs.repositories.iter().map(|repository| repository.name.as_str()))
            .chain(inputs.config.mirrors.keys().map(String::as_str))
            .chain(inputs.config.snapshots.keys().map(String::as_str))
            .map(str::to_owned)
            .collect();
        for name in &names {
            let variable = mirror_variable(name);
            let addresses =
                (inputs.variable)(&variable).filter(|_| variable != MIRROR_DIR_VARIABLE).unwrap_or_default();
            for url in addresses.split_whitespace() {
                mirrors.add(name, MirrorOrigin::Variable, url, || variable.clone())?;
            }
            mirrors.add_snapshot(name, inputs)?;
        }
        for (name, addresses) in &inputs.config.mirrors {
            for address in addresses {
                mirrors.push(name, Mirror { address: address.clone(), origin: MirrorOrigin::Config });
            }
        }
        for archive in inputs.built_in {
            for source in serving(inputs.host, archive, inputs.arch) {
                mirrors.push(archive.name, Mirror { address: source.address.clone(), origin: MirrorOrigin::Host });
            }
            mirrors.add(archive.name, MirrorOrigin::BuiltIn, archive.url, || archive.name.to_owned())?;
        }
        Ok(mirrors)
    }

    /// The mirrors of an archive, the first one first. Empty if nobody named one.
    pub fn of(&self, archive: &str) -> &[Mirror] {
        self.archives.get(archive).map_or(&[], Vec::as_slice)
    }

    /// The same, and after them, for each archive, the snapshots of the time from which a lock is.
    #[must_use]
    pub fn with_snapshots_of(&self, lock: &Lock) -> Self {
        let mut mirrors = self.clone();
        for (archive, mirror) in snapshots::places(&self.snapshots, lock) {
            mirrors.push(&archive, mirror);
        }
        mirrors
    }

    /// Where an archive's snapshots are: variable, configuration file, public address. `off` ends the search.
    fn add_snapshot(&mut self, archive: &str, inputs: &MirrorInputs<'_>) -> Result<(), MirrorError> {
        let variable = snapshot_variable(archive);
        let built_in = inputs.built_in.iter().find(|known| known.name == archive).and_then(|known| known.snapshot);
        let parsed = |place: &str, url: &str| {
            url.parse::<SnapshotChoice>().map_err(|reason| MirrorError { place: place.to_owned(), reason })
        };
        let choice = match ((inputs.variable)(&variable), inputs.config.snapshots.get(archive), built_in) {
            (Some(url), _, _) => Some(parsed(&variable, &url)?),
            (None, Some(choice), _) => Some(choice.clone()),
            (None, None, Some(url)) => Some(parsed(archive, url)?),
            (None, None, None) => None,
        };
        if let Some(SnapshotChoice::At(address)) = choice {
            self.snapshots.insert(archive.to_owned(), address);
        }
        Ok(())
    }

    fn add(
        &mut self,
        archive: &str,
        origin: MirrorOrigin,
        url: &str,
        place: impl FnOnce() -> String,
    ) -> Result<(), MirrorError> {
        let mirror = Mirror::new(url, origin).map_err(|reason| MirrorError { place: place(), reason })?;
        self.push(archive, mirror);
        Ok(())
    }

    fn push(&mut self, archive: &str, mirror: Mirror) {
        let known = self.archives.entry(archive.to_owned()).or_default();
        if known.iter().all(|other| other.address.join("/") != mirror.address.join("/")) {
            known.push(mirror);
        }
    }
}

impl Mirror {
    /// A folder that holds an archive.
    pub fn new(url: &str, origin: MirrorOrigin) -> Result<Self, AddressError> {
        let address: Address = url.parse()?;
        if !address.is_folder() {
            return Err(AddressError::NotAFolder { shown: address.to_string() });
        }
        Ok(Self { address, origin })
    }

    /// One file's own address, for a [`crate::Wanted`] with an empty path.
    pub fn of_file(url: &str) -> Result<Self, AddressError> {
        Ok(Self { address: url.parse()?, origin: MirrorOrigin::Smolfile })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Who named it.
    pub fn origin(&self) -> MirrorOrigin {
        self.origin
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for MirrorInputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the repositories: their addresses are text as the user wrote it, perhaps with a password.
        f.debug_struct("MirrorInputs")
            .field("config", &self.config)
            .field("host", &self.host)
            .field("arch", &self.arch)
            .field("built_in", &self.built_in)
            .finish_non_exhaustive()
    }
}

/// What would be the variable of an archive `dir` names a folder of packages instead.
const MIRROR_DIR_VARIABLE: &str = "SMOLVM_MIRROR_DIR";

/// The environment variable that names mirrors of an archive: `SMOLVM_MIRROR_DEBIAN_SECURITY`. It can hold several
/// addresses with blanks in between.
pub fn mirror_variable(archive: &str) -> String {
    let name = archive.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("SMOLVM_MIRROR_{name}")
}

/// The host's sources that hold an archive, those that name one of its very suites first.
fn serving<'a>(host: &'a [AptSource], archive: &BuiltInArchive<'_>, arch: Arch) -> impl Iterator<Item = &'a AptSource> {
    let candidates = host.iter().filter(|source| source.could_hold(archive.name, arch));
    let (mut exact, others): (Vec<_>, Vec<_>) =
        candidates.partition(|source| source.suites.iter().any(|suite| archive.suites.contains(&suite.as_str())));
    // A host of another release has the same archive: its mirror holds all releases, under the same kinds of suites.
    let pockets: Vec<_> = archive.suites.iter().map(|suite| pocket(suite)).collect();
    exact
        .extend(others.into_iter().filter(|source| source.suites.iter().any(|suite| pockets.contains(&pocket(suite)))));
    exact.into_iter()
}

/// What kind of suite this is, whatever the release: nothing, `-updates`, `-security` ….
fn pocket(suite: &str) -> &str {
    match suite.find(['-', '/']).map(|at| &suite[at..]) {
        None => "",
        // The security suites of releases before bullseye.
        Some("/updates") => "-security",
        Some(pocket) => pocket,
    }
}

#[cfg(test)]
mod tests;

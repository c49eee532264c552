//! `smolvm lock --update PACKAGE…`: a lock in which these packages are new, and all others stay where they can.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use miette::Diagnostic;
use smolvm_fetch::{FetchError, Wanted, WantedError};
use smolvm_manifest::{
    Lock, LockedIndex, LockedKernel, LockedPackage, Manifest, PackageLayer, PackagedKernel, nearest,
};
use smolvm_packages::deb::control::Control;
use smolvm_packages::deb::index::{PackageIndex, missing};
use smolvm_packages::deb::kernel_choice::resolve_kernel;
use smolvm_packages::deb::release::Release;
use smolvm_packages::deb::resolve::{locked, refresh as choose_again};
use smolvm_packages::deb::universe::Universe;
use smolvm_packages::deb::unpack::{UnpackError, UnpackLimits, read_control};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use crate::build::Sources;
use crate::indexes::Suite;
use crate::resolve::{
    foreign_kernel, kernel_suites, locked_indexes, own_suites, packaged_kernel_release, release_of, request,
    unsatisfiable,
};
use crate::{BuildError, BuildOptions, indexes};

/// How many files are held open at a time to look into them.
const MOST_OPEN: usize = 64;

/// The lock that `old` becomes.
pub(crate) async fn refresh(
    manifest: &Manifest,
    old: &Lock,
    names: &[String],
    options: &BuildOptions,
    sources: &Sources,
) -> Result<Lock, BuildError> {
    let wanted = Wish::of(manifest, old, names)?;
    let now = options.host.unix_time();
    let foreign = foreign_kernel(manifest).filter(|_| wanted.touches_kernel());
    let needs_own = wanted.packages || (wanted.touches_kernel() && foreign.is_none());
    let release = release_of(manifest).filter(|_| needs_own);
    let (own, foreign) = tokio::try_join!(
        own_suites(release, manifest, &sources.fetcher, &sources.mirrors, now),
        kernel_suites(foreign, manifest, &sources.fetcher, &sources.mirrors, now),
    )?;
    let (own, foreign) =
        tokio::try_join!(Indexes::read(&own, manifest, sources), Indexes::read(&foreign, manifest, sources))?;
    let mut gone = Vec::new();
    if wanted.packages {
        let staying = old.packages.iter().filter(|package| !wanted.names.contains(&package.name));
        let lacking = missing(&own.packages, staying);
        gone = controls(lacking, names, sources).await?;
    }
    let (manifest, old) = (manifest.clone(), old.clone());
    let choosing = move || choose(&manifest, release, old, &wanted, own, foreign, &gone);
    spawn_blocking(choosing).await.map_err(BuildError::panicked)?
}

/// What was read.
struct Indexes {
    locked: Vec<LockedIndex>,
    packages: Vec<PackageIndex>,
}

impl Indexes {
    async fn read(suites: &[Suite], manifest: &Manifest, sources: &Sources) -> Result<Self, BuildError> {
        let packages = indexes::read(suites, manifest.arch, &sources.fetcher, &sources.mirrors).await?;
        Ok(Self { locked: locked_indexes(suites), packages })
    }
}

/// What is to be refreshed.
struct Wish {
    names: BTreeSet<String>,
    /// Whether any of the installed packages is.
    packages: bool,
    /// Whether the kernel is.
    kernel: bool,
    /// Whether the initrd's busybox is.
    busybox: bool,
}

impl Wish {
    /// Refuses names that the lock does not have.
    fn of(manifest: &Manifest, old: &Lock, names: &[String]) -> Result<Self, BuildError> {
        let mut known: BTreeSet<&str> = old.packages.iter().map(|package| &*package.name).collect();
        let installed = known.clone();
        let (mut kernel_names, mut busybox) = (BTreeSet::new(), None);
        if let LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) = &old.kernel {
            kernel_names.extend(kernel.packages.iter().map(|package| &*package.name));
            // The lock holds what this one led to.
            kernel_names.insert(packaged_kernel_release(manifest).kernel_package(manifest.arch));
            busybox = Some(&*kernel.busybox.name);
        }
        known.extend(kernel_names.iter().copied().chain(busybox));
        let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            return Err(BuildError::input(NotLocked::of(&unknown, &known)));
        }
        let any = |of: &BTreeSet<&str>| names.iter().any(|name| of.contains(&**name));
        Ok(Self {
            packages: any(&installed),
            kernel: any(&kernel_names),
            busybox: names.iter().any(|name| busybox == Some(name)),
            names: names.iter().cloned().collect(),
        })
    }

    const fn touches_kernel(&self) -> bool {
        self.kernel || self.busybox
    }
}

/// Names that a lock does not have.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(smolvm::lock::not_locked), help("{help}"))]
struct NotLocked {
    message: String,
    help: String,
}

impl NotLocked {
    fn of(unknown: &[&str], known: &BTreeSet<&str>) -> Self {
        let quoted: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
        let mut help = String::new();
        for name in unknown {
            if let Some(near) = nearest(name, known.iter().copied()) {
                // Writing to a String cannot fail.
                let _ = write!(help, "did you mean `{near}`? ");
            }
        }
        help.push_str(
            "A package gets into the lock by `packages` of the Smolfile; `smolvm lock --update` alone refreshes all",
        );
        Self { message: format!("the lock has no package {}", quoted.join(" and ")), help }
    }
}

/// What the files of packages say that no index has any more.
async fn controls(
    lacking: Vec<&LockedPackage>,
    names: &[String],
    sources: &Sources,
) -> Result<Vec<(LockedPackage, Control)>, BuildError> {
    let open = Arc::new(Semaphore::new(MOST_OPEN));
    let mut under_way = JoinSet::new();
    for package in lacking {
        let (package, sources, open) = (package.clone(), sources.clone(), Arc::clone(&open));
        under_way.spawn(async move {
            let _held = open.acquire_owned().await;
            let control = control(&package, &sources).await;
            (package, control)
        });
    }
    let (mut controls, mut failures) = (Vec::new(), BTreeMap::new());
    while let Some(joined) = under_way.join_next().await {
        match joined.map_err(BuildError::panicked)? {
            (package, Ok(control)) => controls.push((package, control)),
            (package, Err(error)) => drop(failures.insert(package.name, (package.version, error))),
        }
    }
    if !failures.is_empty() {
        return Err(BuildError::build(Gone::of(failures, names)));
    }
    controls.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(controls)
}

async fn control(package: &LockedPackage, sources: &Sources) -> Result<Control, FileError> {
    let wanted = Wanted::package(package)?;
    let deb = sources.fetcher.fetch(&wanted, sources.mirrors.of(&package.archive)).await?;
    let package = package.clone();
    let reading = spawn_blocking(move || read_control(deb, &package, &UnpackLimits::default()));
    let (control, _) = reading.await??;
    Ok(control)
}

/// Why a package's file cannot be looked into.
#[derive(Debug, Error)]
enum FileError {
    #[error(transparent)]
    Wanted(#[from] WantedError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Stopped(#[from] tokio::task::JoinError),
}

/// Locked packages that nobody has any more: what they depend on cannot be known, and so not what may stay beside them.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(smolvm::lock::gone), help("{help}"))]
struct Gone {
    message: String,
    help: String,
    source: FileError,
}

impl Gone {
    fn of(mut failures: BTreeMap<String, (String, FileError)>, names: &[String]) -> Self {
        let packages: Vec<String> = failures.iter().map(|(name, (version, _))| format!("`{name}` {version}")).collect();
        let all: Vec<&str> = names.iter().chain(failures.keys()).map(String::as_str).collect();
        let help = format!("refresh what is gone too: `smolvm lock --update {}`", all.join(" "));
        let message = format!(
            "{} cannot stay as locked: the archive lists it no more, and its file, which says what it depends on, cannot be had",
            packages.join(", ")
        );
        #[expect(clippy::expect_used, reason = "the caller has at least one")]
        let (_, (_, source)) = failures.pop_first().expect("a failure");
        Self { message, help, source }
    }
}

fn choose(
    manifest: &Manifest,
    release: Option<&'static Release>,
    mut old: Lock,
    wanted: &Wish,
    own: Indexes,
    foreign: Indexes,
    gone: &[(LockedPackage, Control)],
) -> Result<Lock, BuildError> {
    // What stays came out of the older indexes: an archive that went back makes nothing older.
    let epoch = own.locked.iter().map(|index| index.date).chain([old.epoch]).max().unwrap_or(old.epoch);
    // First, so that a locked file counts before another one of the same version.
    let mut indexes = Vec::new();
    let mut archives: BTreeMap<&str, Vec<(LockedPackage, Control)>> = BTreeMap::new();
    for (package, control) in gone {
        archives.entry(&package.archive).or_default().push((package.clone(), control.clone()));
    }
    for (archive, files) in archives {
        indexes.push(PackageIndex::of_files(archive, &files, manifest.arch));
    }
    indexes.extend(own.packages);
    let universe = Universe::new(manifest.arch, indexes);
    if let Some(release) = release.filter(|_| wanted.packages) {
        old.packages = packages(manifest, release, &old.packages, wanted, &universe)?;
    }
    if wanted.touches_kernel() {
        let foreign = (!foreign.locked.is_empty()).then(|| Universe::new(manifest.arch, foreign.packages));
        let universe = foreign.as_ref().unwrap_or(&universe);
        if let LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) = &mut old.kernel {
            let new = resolve_kernel(universe, packaged_kernel_release(manifest), kernel.modules);
            let PackagedKernel { modules: _, packages, busybox } = new.map_err(BuildError::build)?;
            if wanted.kernel {
                kernel.packages = packages;
            }
            if wanted.busybox {
                kernel.busybox = busybox;
            }
        }
    }
    for index in own.locked.into_iter().chain(foreign.locked) {
        match old.indexes.iter_mut().find(|older| older.archive == index.archive && older.suite == index.suite) {
            Some(older) => *older = index,
            None => old.indexes.push(index),
        }
    }
    Ok(Lock { epoch, ..old })
}

/// The packages that are installed; those that stay, to the letter as they were.
fn packages(
    manifest: &Manifest,
    release: &Release,
    old: &[LockedPackage],
    wanted: &Wish,
    universe: &Universe,
) -> Result<Vec<LockedPackage>, BuildError> {
    let earlier: Vec<_> = old.iter().filter_map(|package| universe.locked(package)).collect();
    let renewed = wanted.names.iter().map(String::as_str).collect();
    let chosen = choose_again(universe, &request(manifest, release), &earlier, &renewed);
    let chosen = chosen.map_err(|error| unsatisfiable(manifest, &error))?;
    let old: HashMap<&str, &LockedPackage> = old.iter().map(|package| (&*package.name, package)).collect();
    let as_it_was = |new: LockedPackage| match old.get(&*new.name) {
        Some(old) if old.version == new.version && old.sha256 == new.sha256 => with_layer(old, new.layer),
        _ => new,
    };
    Ok(chosen.into_iter().map(|chosen| as_it_was(locked(universe, chosen))).collect())
}

fn with_layer(package: &LockedPackage, layer: PackageLayer) -> LockedPackage {
    LockedPackage { layer, ..package.clone() }
}

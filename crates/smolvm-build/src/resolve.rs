//! A manifest's lock: the one beside it where that answers, else a new one from the signed indexes.

use miette::Diagnostic;
use smolvm_fetch::{BuiltInArchive, Config, Fetcher, MirrorInputs, Mirrors};
use smolvm_manifest::{
    Base, Distro, KernelChoice, KernelSource, Lock, LockedManifest, Manifest, Modules, Repository, question,
};
use smolvm_packages::deb::kernel_choice::resolve_kernel;
use smolvm_packages::deb::release::{Release, release};
use smolvm_packages::deb::resolve::{Request, Unsatisfiable, locked, resolve};
use smolvm_packages::deb::universe::Universe;
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::error::IoFailure;
use crate::{BuildError, BuildOptions, Event, Events, Host, indexes};

/// Whose kernel `kernel: debian` means.
const DEBIAN_KERNEL: Distro = Distro::DebianTrixie;

/// The lock beside the manifest, if there is one and it answers what the manifest asks.
pub(crate) fn read_lock(
    manifest: &Manifest,
    options: &BuildOptions,
    events: &Events,
) -> Result<Option<Lock>, BuildError> {
    let path = options.lock_path();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let doing = format!("reading the lock `{}`", path.display());
            let help = Some("make it readable, or delete it: the next build writes a new one".to_owned());
            return Err(BuildError::input(IoFailure { doing, error, help }));
        }
    };
    let lock = Lock::parse(&path.display().to_string(), &text).map_err(BuildError::input)?;
    if lock.question == question(manifest) {
        return Ok(Some(lock));
    }
    events.send(Event::Note(format!(
        "`{}` was written for another `{}` (packages, base or kernel changed): resolving again",
        path.display(),
        options.smolfile.display()
    )));
    Ok(None)
}

/// Resolves a manifest against the signed indexes of today, and writes the lock.
pub(crate) async fn resolve_now(
    manifest: Manifest,
    options: &BuildOptions,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
) -> Result<LockedManifest, BuildError> {
    let release = release_of(&manifest);
    let now = options.host.unix_time();
    let sources = indexes::sources(release, &manifest.repositories)?;
    let foreign_kernel = kernel_release(&manifest).filter(|kernel| kernel.distro != release.distro);
    let (own, foreign) = tokio::try_join!(
        indexes::read(sources, manifest.arch, fetcher, mirrors, now),
        kernel_indexes(foreign_kernel, &manifest, fetcher, mirrors, now),
    )?;
    let (lock, manifest) =
        spawn_blocking(move || choose(&manifest, release, own, foreign).map(|lock| (lock, manifest)))
            .await
            .map_err(BuildError::panicked)??;
    let path = options.lock_path();
    crate::files::write_whole(&path, lock.to_text().as_bytes()).map_err(|error| {
        let doing = format!("writing the lock `{}`", path.display());
        let help = Some("the lock is kept beside the Smolfile: make that folder writable".to_owned());
        BuildError::host(IoFailure { doing, error, help })
    })?;
    LockedManifest::new(manifest, lock).map_err(BuildError::input)
}

type Indexes = Vec<(smolvm_packages::deb::in_release::SignedRelease, Vec<smolvm_packages::deb::index::PackageIndex>)>;

async fn kernel_indexes(
    kernel: Option<&'static Release>,
    manifest: &Manifest,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<Indexes, BuildError> {
    match kernel {
        Some(release) => {
            let sources = indexes::sources(release, &manifest.repositories)?;
            indexes::read(sources, manifest.arch, fetcher, mirrors, now).await
        }
        None => Ok(Vec::new()),
    }
}

/// Chooses packages and kernel.
fn choose(manifest: &Manifest, release: &Release, own: Indexes, foreign: Indexes) -> Result<Lock, BuildError> {
    let epoch = own.iter().map(|(release, _)| release.date).max().unwrap_or(0);
    let indexes = own.iter().chain(&foreign).map(|(release, _)| release.locked()).collect();
    let packages_of = |indexes: Indexes| {
        Universe::new(manifest.arch, indexes.into_iter().flat_map(|(_, packages)| packages).collect())
    };
    let universe = packages_of(own);
    let request = Request {
        base: true,
        implied: if manifest.ssh.is_some() { release.ssh_packages } else { &[] },
        packages: &manifest.packages,
    };
    let chosen = resolve(&universe, &request).map_err(|error| unsatisfiable(manifest, &error))?;
    let packages = chosen.into_iter().map(|chosen| locked(&universe, chosen)).collect();

    let from = match manifest.kernel {
        KernelChoice::Debian => KernelSource::Debian,
        _ => KernelSource::Distro,
    };
    let modules = match manifest.kernel {
        KernelChoice::Distro { modules } => modules,
        _ => Modules::Chosen,
    };
    let foreign_universe = (!foreign.is_empty()).then(|| packages_of(foreign));
    let kernel_universe = foreign_universe.as_ref().unwrap_or(&universe);
    let kernel_release = kernel_release(manifest).unwrap_or(release);
    let kernel = resolve_kernel(kernel_universe, kernel_release, from, modules).map_err(BuildError::build)?;
    Ok(Lock { version: Lock::VERSION, question: question(manifest), epoch, indexes, packages, kernel })
}

/// The problems of a set that cannot be, each at the line that asks for it.
fn unsatisfiable(manifest: &Manifest, error: &Unsatisfiable) -> BuildError {
    let mistakes = error.problems.iter().map(|problem| {
        let pointer = match problem.requests.first() {
            Some(index) => format!("/packages/{index}"),
            None if manifest.packages.is_empty() => "/base".to_owned(),
            None => "/packages".to_owned(),
        };
        let help = Some(problem.help.clone());
        manifest.document.error(&pointer, problem.message.clone(), help, "smolvm::packages::unsatisfiable")
    });
    BuildError::input(manifest.document.errors(mistakes.collect()))
}

/// A clock that is behind the packages would leave times in the image that depend on it.
pub(crate) fn check_clock(epoch: i64, options: &BuildOptions) -> Result<(), BuildError> {
    if options.host.unix_time() >= epoch { Ok(()) } else { Err(BuildError::host(ClockBehind)) }
}

#[derive(Debug, Error, Diagnostic)]
#[error("this machine's clock is behind the date of the packages in the lock")]
#[diagnostic(code(smolvm::build::clock), help("set the clock right (`date` shows it), then build again"))]
struct ClockBehind;

/// Where everything that this manifest may need comes from.
pub(crate) fn mirrors(manifest: &Manifest, options: &BuildOptions) -> Result<Mirrors, BuildError> {
    let host = &options.host;
    let config = match host.config_path().map(|path| (std::fs::read_to_string(&path), path)) {
        Some((Ok(text), path)) => {
            Config::parse(&path.display().to_string(), &text).map_err(|error| BuildError::input(*error))?
        }
        _ => Config::default(),
    };
    let mut releases = vec![release_of(manifest)];
    releases.extend(kernel_release(manifest).filter(|kernel| kernel.distro != releases[0].distro));
    let suites: Vec<Vec<&str>> = releases
        .iter()
        .flat_map(|release| release.archives.iter().map(move |archive| (release, archive.name)))
        .map(|(release, archive)| {
            release.suites.iter().filter(|suite| suite.archive == archive).map(|suite| suite.suite).collect()
        })
        .collect();
    let built_in: Vec<BuiltInArchive<'_>> = releases
        .iter()
        .flat_map(|release| release.archives)
        .zip(&suites)
        .filter(|(archive, _)| !is_replaced(archive.name, &manifest.repositories))
        .map(|(archive, suites)| BuiltInArchive { name: archive.name, suites, url: archive.address(manifest.arch) })
        .collect();
    let variable = |name: &str| host.variable(name).map(|value| value.to_string_lossy().into_owned());
    let apt_sources: Vec<_> = releases.iter().flat_map(|release| Host::apt_sources(release.family())).collect();
    Mirrors::collect(&MirrorInputs {
        repositories: &manifest.repositories,
        variable: &variable,
        config: &config,
        host: &apt_sources,
        arch: manifest.arch,
        built_in: &built_in,
    })
    .map_err(BuildError::input)
}

/// Whether the Smolfile has an archive of this name that is signed by a key of its own: the public one is then another
/// archive, whose indexes that key did not sign.
fn is_replaced(archive: &str, repositories: &[Repository]) -> bool {
    repositories.iter().any(|repository| repository.name == archive && !repository.signed_by.is_empty())
}

/// The table's row for the base.
fn release_of(manifest: &Manifest) -> &'static Release {
    match &manifest.base {
        Base::Distro(distro) => release(*distro),
        Base::Image(_) => None,
    }
    .expect("`check_supported` lets only bases of the deb world pass")
}

/// The release whose kernel is taken, where that is not simply the base's.
fn kernel_release(manifest: &Manifest) -> Option<&'static Release> {
    let base = release_of(manifest);
    match manifest.kernel {
        KernelChoice::Debian if base.family() == smolvm_manifest::Family::Debian => Some(base),
        KernelChoice::Debian => release(DEBIAN_KERNEL),
        _ => Some(base),
    }
}

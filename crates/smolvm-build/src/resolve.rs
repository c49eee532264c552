//! A manifest's lock: the one beside it where that answers, else a new one from the signed indexes.

use std::sync::Arc;

use miette::Diagnostic;
use smolvm_engine::SeenImage;
use smolvm_fetch::{BuiltInArchive, Config, Fetcher, MirrorInputs, Mirrors};
use smolvm_manifest::{
    Arch, Base, Distro, KernelChoice, KernelFile, Lock, LockFile, LockedIndex, LockedKernel, LockedManifest, Manifest,
    Modules, Repository, question,
};
use smolvm_packages::deb::kernel_choice::resolve_kernel;
use smolvm_packages::deb::release::{Release, release};
use smolvm_packages::deb::resolve::{Request, Unsatisfiable, locked, resolve};
use smolvm_packages::deb::universe::Universe;
use smolvm_packages::kernel::published;
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::engine::{self, EngineKind};
use crate::error::IoFailure;
use crate::indexes::Suite;
use crate::memory::{Asked, Contents};
use crate::{BuildError, BuildOptions, Event, Events, Host, Memory, indexes, steps};

/// Whose kernel `kernel: debian` means.
const DEBIAN_KERNEL: Distro = Distro::DebianTrixie;

/// What lies beside a manifest.
#[derive(Debug)]
pub(crate) enum FoundLock {
    /// It answers what the manifest asks.
    Current(Box<Lock>),
    Missing,
    /// Only other architectures than this one are locked.
    Elsewhere(Arch),
    /// It answers something else, for this reason.
    Outrun(Box<Lock>, String),
}

impl FoundLock {
    /// Why there is no going on with it.
    pub(crate) fn lack(&self, options: &BuildOptions) -> String {
        let path = options.lock_path();
        let path = path.display();
        match self {
            Self::Outrun(_, why) => why.clone(),
            Self::Elsewhere(arch) => format!("there is no lock for {arch} in `{path}`"),
            Self::Missing | Self::Current(_) => format!("there is no `{path}`"),
        }
    }

    /// Reads it.
    pub(crate) fn of(manifest: &Manifest, engine: EngineKind, options: &BuildOptions) -> Result<Self, BuildError> {
        let file = read_lock(manifest, options)?;
        let Some(mut lock) = file.get(manifest.arch).cloned() else {
            let others = file.iter().next().is_some();
            return Ok(if others { Self::Elsewhere(manifest.arch) } else { Self::Missing });
        };
        let path = options.lock_path();
        let path = path.display();
        if lock.question != question(manifest) {
            let smolfile = options.smolfile.display();
            let why = format!("`{path}` was written for another `{smolfile}` (packages, base or kernel changed)");
            return Ok(Self::Outrun(Box::new(lock), why));
        }
        match engine {
            EngineKind::Docker if lock.base_image.is_none() => {
                Ok(Self::Outrun(Box::new(lock), format!("`{path}` names no Docker image")))
            }
            EngineKind::Docker => Ok(Self::Current(Box::new(lock))),
            EngineKind::Embedded => {
                // It decides nothing of what the embedded engine makes.
                lock.base_image = None;
                Ok(Self::Current(Box::new(lock)))
            }
        }
    }
}

/// The file beside the manifest; an empty one where there is none.
pub(crate) fn read_lock(manifest: &Manifest, options: &BuildOptions) -> Result<LockFile, BuildError> {
    let path = options.lock_path();
    let text = match crate::files::read_small(&path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    }) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LockFile::default()),
        Err(error) => {
            let doing = format!("reading the lock `{}`", path.display());
            let help = Some("make it readable, or delete it: the next build writes a new one".to_owned());
            return Err(BuildError::input(IoFailure { doing, error, help }));
        }
    };
    LockFile::parse(&path.display().to_string(), &text, manifest.arch).map_err(BuildError::input)
}

/// Writes the lock of the manifest's architecture; those of others stay as they are.
pub(crate) fn write_lock(manifest: &Manifest, lock: Lock, options: &BuildOptions) -> Result<(), BuildError> {
    // Read now: resolving took a while, and somebody may have locked another architecture meanwhile.
    let mut file = read_lock(manifest, options)?;
    file.insert(manifest.arch, lock);
    let path = options.lock_path();
    crate::files::write_whole(&path, file.to_text().as_bytes()).map_err(|error| {
        let doing = format!("writing the lock `{}`", path.display());
        let help = Some("the lock is kept beside the Smolfile: make that folder writable".to_owned());
        BuildError::host(IoFailure { doing, error, help })
    })
}

/// Resolves a manifest against the signed indexes of today, and writes the lock.
pub(crate) async fn resolve_now(
    manifest: Manifest,
    engine: EngineKind,
    options: &BuildOptions,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    events: &Events,
) -> Result<LockedManifest, BuildError> {
    let release = release_of(&manifest);
    let now = options.host.unix_time();
    let foreign_kernel = foreign_kernel(&manifest);
    if release.is_none() && manifest.kernel == KernelChoice::Auto {
        events.send(Event::Note("the kernel is Debian's, which boots any root file system".to_owned()));
    }
    // Before anything is fetched: a missing daemon is told as that, not beside what its absence stopped.
    let base_image = base_image(engine, &manifest, options, events).await?;
    let (own, foreign) = tokio::try_join!(
        own_suites(release, &manifest, fetcher, mirrors, now),
        kernel_suites(foreign_kernel, &manifest, fetcher, mirrors, now),
    )?;
    let asked = Asked {
        question: question(&manifest),
        own: locked_indexes(&own),
        foreign: locked_indexes(&foreign),
        base_image,
    };
    let memory = options.memory.as_ref();
    if let Some(lock) = memory.and_then(|memory| memory.answer(&asked)) {
        write_lock(&manifest, lock.clone(), options)?;
        return LockedManifest::new(manifest, lock).map_err(BuildError::input);
    }
    let (own, foreign) = tokio::try_join!(
        universe(&own, manifest.arch, fetcher, mirrors, memory),
        universe(&foreign, manifest.arch, fetcher, mirrors, memory),
    )?;
    let choosing = move || choose(&manifest, &asked, &own, &foreign).map(|lock| (lock, manifest, asked));
    let (lock, manifest, asked) = spawn_blocking(choosing).await.map_err(BuildError::panicked)??;
    if let Some(memory) = memory {
        memory.remember_answer(asked, lock.clone());
    }
    write_lock(&manifest, lock.clone(), options)?;
    LockedManifest::new(manifest, lock).map_err(BuildError::input)
}

/// The suites of the base, where smolvm resolves its packages.
pub(crate) async fn own_suites(
    release: Option<&'static Release>,
    manifest: &Manifest,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<Vec<Suite>, BuildError> {
    match release {
        Some(release) => {
            let sources = indexes::sources(release, &manifest.repositories)?;
            indexes::verify(sources, manifest.arch, fetcher, mirrors, now).await
        }
        None => Ok(Vec::new()),
    }
}

pub(crate) async fn kernel_suites(
    kernel: Option<&'static Release>,
    manifest: &Manifest,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<Vec<Suite>, BuildError> {
    match kernel {
        Some(release) => {
            // Those that name an archive of the kernel's release replace it; all others are the base's.
            let is_archive = |name: &str| release.archives.iter().any(|archive| archive.name == name);
            let replacing: Vec<Repository> =
                manifest.repositories.iter().filter(|entry| is_archive(&entry.name)).cloned().collect();
            let sources = indexes::sources(release, &replacing)?;
            indexes::verify(sources, manifest.arch, fetcher, mirrors, now).await
        }
        None => Ok(Vec::new()),
    }
}

/// What a lock records of suites.
pub(crate) fn locked_indexes(suites: &[Suite]) -> Vec<LockedIndex> {
    suites.iter().map(|suite| suite.release.locked()).collect()
}

/// The packages of suites: those in memory, or else read.
async fn universe(
    suites: &[Suite],
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    memory: Option<&Memory>,
) -> Result<Arc<Universe>, BuildError> {
    let contents = Contents::of(suites, arch);
    if let Some(universe) = memory.and_then(|memory| memory.universe(&contents)) {
        return Ok(universe);
    }
    let packages = indexes::read(suites, arch, fetcher, mirrors).await?;
    let entering = spawn_blocking(move || Arc::new(Universe::new(arch, packages)));
    let universe = entering.await.map_err(BuildError::panicked)?;
    if let Some(memory) = memory {
        memory.remember_universe(contents, Arc::clone(&universe));
    }
    Ok(universe)
}

/// What the base is in Docker, where Docker builds.
async fn base_image(
    engine: EngineKind,
    manifest: &Manifest,
    options: &BuildOptions,
    events: &Events,
) -> Result<Option<SeenImage>, BuildError> {
    if engine == EngineKind::Embedded {
        return Ok(None);
    }
    let docker = engine::docker(options, &manifest.name).await?;
    let seen = Box::pin(docker.look_at(engine::reference(manifest), manifest.arch, events)).await;
    seen.map(Some).map_err(|error| steps::failure(error.into(), manifest))
}

/// Chooses packages and kernel. What this reads of the manifest beyond `asked` must not decide anything.
fn choose(manifest: &Manifest, asked: &Asked, own: &Universe, foreign: &Universe) -> Result<Lock, BuildError> {
    let release = release_of(manifest);
    // A base that smolvm does not resolve is as old as its image.
    let made = asked.base_image.as_ref().filter(|_| release.is_none()).map(|seen| seen.created);
    let epoch = asked.own.iter().map(|index| index.date).chain(made).max().unwrap_or(0);
    let packages = match release {
        Some(release) => {
            let chosen = resolve(own, &request(manifest, release)).map_err(|error| unsatisfiable(manifest, &error))?;
            chosen.into_iter().map(|chosen| locked(own, chosen)).collect()
        }
        // Docker's base resolves them by itself.
        None => Vec::new(),
    };

    let from_packages = |modules| {
        let universe = if asked.foreign.is_empty() { own } else { foreign };
        resolve_kernel(universe, packaged_kernel_release(manifest), modules).map_err(BuildError::build)
    };
    let file = |sha256: &str| KernelFile { sha256: sha256.to_owned() };
    let kernel = match &manifest.kernel {
        KernelChoice::Distro { modules } => LockedKernel::Distro(from_packages(*modules)?),
        KernelChoice::Auto if release.is_some() => LockedKernel::Distro(from_packages(Modules::Chosen)?),
        KernelChoice::Auto | KernelChoice::Debian => LockedKernel::Debian(from_packages(Modules::Chosen)?),
        KernelChoice::Smolvm => LockedKernel::Smolvm(file(published::for_qemu(manifest.arch).sha256)),
        KernelChoice::Url { sha256, .. } => LockedKernel::Url(file(sha256)),
        KernelChoice::Path { sha256, .. } => LockedKernel::Path(file(sha256)),
    };
    Ok(Lock {
        version: Lock::VERSION,
        question: asked.question.clone(),
        epoch,
        indexes: asked.own.iter().chain(&asked.foreign).cloned().collect(),
        packages,
        kernel,
        base_image: asked.base_image.as_ref().map(|seen| seen.image.clone()),
    })
}

/// What is asked of a release.
pub(crate) fn request<'a>(manifest: &'a Manifest, release: &'a Release) -> Request<'a> {
    Request {
        base: true,
        implied: if manifest.ssh.is_some() { release.ssh_packages } else { &[] },
        packages: &manifest.packages,
    }
}

/// The problems of a set that cannot be, each at the line that asks for it.
pub(crate) fn unsatisfiable(manifest: &Manifest, error: &Unsatisfiable) -> BuildError {
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
    let mut releases: Vec<&Release> = release_of(manifest).into_iter().collect();
    releases.extend(kernel_release(manifest).filter(|kernel| releases.iter().all(|own| own.distro != kernel.distro)));
    let suites: Vec<Vec<&str>> = releases
        .iter()
        .flat_map(|release| release.archives.iter().map(move |archive| (release, archive.name)))
        .map(|(release, archive)| {
            release.suites.iter().filter(|suite| suite.archive == archive).map(|suite| suite.suite).collect()
        })
        .collect();
    let mut built_in: Vec<BuiltInArchive<'_>> = releases
        .iter()
        .flat_map(|release| release.archives)
        .zip(&suites)
        .filter(|(archive, _)| !is_replaced(archive.name, &manifest.repositories))
        .map(|(archive, suites)| BuiltInArchive {
            name: archive.name,
            suites,
            url: archive.address(manifest.arch),
            snapshot: Some(archive.snapshot),
        })
        .collect();
    if manifest.kernel == KernelChoice::Smolvm {
        built_in.push(BuiltInArchive {
            name: published::ARCHIVE,
            suites: &[],
            url: published::ADDRESS,
            snapshot: None,
        });
    }
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

/// The table's row for the base; bases that only Docker can start from have none.
pub(crate) fn release_of(manifest: &Manifest) -> Option<&'static Release> {
    match &manifest.base {
        Base::Distro(distro) => release(*distro),
        Base::Image(_) => None,
    }
}

/// The release whose kernel is taken; none for a kernel that is no package.
fn kernel_release(manifest: &Manifest) -> Option<&'static Release> {
    match manifest.kernel {
        KernelChoice::Auto | KernelChoice::Distro { .. } | KernelChoice::Debian => {
            Some(packaged_kernel_release(manifest))
        }
        KernelChoice::Smolvm | KernelChoice::Url { .. } | KernelChoice::Path { .. } => None,
    }
}

/// The release whose kernel is taken, where it is not the base's own.
pub(crate) fn foreign_kernel(manifest: &Manifest) -> Option<&'static Release> {
    let own = release_of(manifest);
    kernel_release(manifest).filter(|kernel| own.is_none_or(|own| kernel.distro != own.distro))
}

/// The release of a kernel that is a package: the base's own, or Debian's.
pub(crate) fn packaged_kernel_release(manifest: &Manifest) -> &'static Release {
    let own = release_of(manifest)
        .filter(|base| manifest.kernel != KernelChoice::Debian || base.family() == smolvm_manifest::Family::Debian);
    own.or_else(|| release(DEBIAN_KERNEL)).expect("Debian's releases are in the table")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use smolvm_manifest::load;

    use super::*;
    use crate::surroundings::HostSurroundings;

    /// By its table and addresses alone: nobody could serve what has the published digest.
    #[test]
    fn the_published_kernel_is_locked_by_its_digest_and_sought_at_ones_own_mirror_first() {
        let own = ("SMOLVM_MIRROR_SMOLVM_KERNEL".into(), "http://127.0.0.1:9/kernels".into());
        let host = Host::new([own], SystemTime::UNIX_EPOCH);
        let surroundings = HostSurroundings::of(Path::new("Smolfile.yaml"), &host);
        let smolfile = "base: {image: tool}\narch: amd64\nssh: false\nkernel: smolvm\n";
        let manifest = load("Smolfile.yaml", smolfile, &surroundings).unwrap().manifest;
        let asked = Asked { question: question(&manifest), own: Vec::new(), foreign: Vec::new(), base_image: None };
        let none = Universe::new(manifest.arch, Vec::new());
        let lock = choose(&manifest, &asked, &none, &none).unwrap();
        let published = published::for_qemu(manifest.arch);
        assert_eq!(lock.kernel, LockedKernel::Smolvm(KernelFile { sha256: published.sha256.to_owned() }));
        let found = mirrors(&manifest, &BuildOptions::new("Smolfile.yaml", host)).unwrap();
        let places: Vec<String> = found.of(published::ARCHIVE).iter().map(|mirror| mirror.address().plain()).collect();
        assert_eq!(places, ["http://127.0.0.1:9/kernels", published::ADDRESS]);
    }
}

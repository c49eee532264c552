//! `smolvm vendor`: all that a lock names, in a folder that `--mirror-dir` builds from without a network.
//!
//! ```text
//! DIR/
//!   <archive>/<path>               a package, as its archive's mirrors have it
//!   smolvm-kernel/<file>           SmolVM's published kernel
//!   kernel/<sha256>                a kernel from an address
//!   vendored/<image>-<arch>.json   which lock asked for what: for people; no build reads it
//! ```
//!
//! Several Smolfiles can share the folder. What is there and whole is left alone, and so is what nobody asks for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use smolvm_fetch::{Fetcher, Mirror, Mirrors, VerifiedFile, VerifyError, Wanted};
use smolvm_manifest::{LockedKernel, LockedManifest, Manifest};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use crate::build::{Sources, load_supported, lock};
use crate::engine::EngineKind;
use crate::error::IoFailure;
use crate::resolve::FoundLock;
use crate::{BuildError, BuildOptions, Event, Events, Stage, kernel};

/// How many files are hashed or written at once.
const AT_ONCE: usize = 8;

/// What lies in a vendor folder now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VendorReport {
    /// The folder.
    pub folder: PathBuf,
    /// The lock whose files are there.
    pub lock: PathBuf,
    /// How many files the lock asks for.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were not there, or damaged, and were put there.
    pub added: usize,
    /// What a build from the folder takes from elsewhere.
    pub not_vendored: Vec<String>,
}

/// Puts everything that the lock of a Smolfile names into a folder, each file verified and whole; the lock is written where it
/// is missing.
pub async fn vendor(options: &BuildOptions, folder: &Path, events: &Events) -> Result<VendorReport, BuildError> {
    let (manifest, engine) = load_supported(options, events)?;
    if engine == EngineKind::Docker {
        return Err(BuildError::input(NoDocker { doing: "vendored".to_owned() }));
    }
    let sources = Sources::new(&manifest, options, events)?;
    let locked = lock(manifest, engine, options, &sources, events).await?;
    let text = crate::files::read_small(&options.lock_path()).map_err(|error| {
        let doing = format!("reading the lock `{}`", options.lock_path().display());
        BuildError::host(IoFailure { doing, error, help: None })
    })?;
    let needed = needed(&locked, &sources.mirrors.with_snapshots_of(&locked.lock))?;
    let filling = fill(folder, needed, &sources.fetcher, events);
    let (files, added) = events.stage_async(Stage::Fetch, filling).await?;
    let bytes = files.iter().map(|file| file.size).sum();
    let count = files.len();
    let manifest = &locked.manifest;
    let list = List {
        version: 1,
        image: &manifest.name,
        arch: manifest.arch.to_string(),
        lock_sha256: hex::encode(Sha256::digest(&text)),
        files,
    };
    list.write(folder).map_err(|error| unwritable(folder, error))?;
    Ok(VendorReport {
        folder: folder.to_owned(),
        lock: options.lock_path(),
        files: count,
        bytes,
        added,
        not_vendored: not_vendored(manifest),
    })
}

/// A file that a lock names, and where it comes from.
struct Needed {
    place: String,
    wanted: Wanted,
    mirrors: Vec<Mirror>,
}

/// A file of the folder.
#[derive(Debug, Serialize)]
struct Vendored {
    path: String,
    size: u64,
    sha256: String,
}

/// Which lock asked for what.
#[derive(Serialize)]
struct List<'a> {
    version: u32,
    image: &'a str,
    arch: String,
    lock_sha256: String,
    files: Vec<Vendored>,
}

impl List<'_> {
    fn write(&self, folder: &Path) -> io::Result<()> {
        let lists = folder.join("vendored");
        fs_err::create_dir_all(&lists)?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        crate::files::write_whole(&lists.join(format!("{}-{}.json", self.image, self.arch)), &text)
    }
}

/// Everything that a lock names, each file once.
fn needed(locked: &LockedManifest, mirrors: &Mirrors) -> Result<Vec<Needed>, BuildError> {
    let of_kernel: Vec<_> = match &locked.lock.kernel {
        LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) => {
            kernel.packages.iter().chain([&kernel.busybox]).collect()
        }
        LockedKernel::Smolvm(_) | LockedKernel::Url(_) | LockedKernel::Path(_) => Vec::new(),
    };
    let mut places = BTreeMap::new();
    for package in locked.lock.packages.iter().chain(of_kernel) {
        let wanted = Wanted::package(package).map_err(BuildError::input)?;
        places.insert(wanted.vendored.clone(), (wanted, mirrors.of(&package.archive).to_vec()));
    }
    if let Some((wanted, mirrors)) = kernel::file(locked, mirrors)? {
        places.insert(wanted.vendored.clone(), (wanted, mirrors));
    }
    let needed = places.into_iter().filter_map(|(place, (wanted, mirrors))| {
        let place = place?;
        Some(Needed { place, wanted, mirrors })
    });
    Ok(needed.collect())
}

/// Puts files where they belong, and tells which were not there.
async fn fill(
    folder: &Path,
    needed: Vec<Needed>,
    fetcher: &Fetcher,
    events: &Events,
) -> Result<(Vec<Vendored>, usize), BuildError> {
    let total = needed.len() as u64;
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    for needed in needed {
        let (folder, fetcher, at_once) = (folder.to_owned(), fetcher.clone(), Arc::clone(&at_once));
        under_way.spawn(async move {
            // The semaphore is never closed.
            let _place = at_once.acquire_owned().await;
            put(&folder, needed, &fetcher).await
        });
    }
    let (mut files, mut added) = (Vec::new(), 0);
    while let Some(joined) = under_way.join_next().await {
        let (file, is_new) = joined.map_err(BuildError::panicked)??;
        added += usize::from(is_new);
        let (done, item) = (files.len() as u64 + 1, file.path.clone());
        files.push(file);
        events.send(Event::StageProgress { stage: Stage::Fetch, done, total, item });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((files, added))
}

/// Leaves a file that is there and whole; else fetches it and puts it there.
async fn put(folder: &Path, needed: Needed, fetcher: &Fetcher) -> Result<(Vendored, bool), BuildError> {
    let Needed { place, wanted, mirrors } = needed;
    let target = folder.join(&place);
    let (path, size, sha256) = (target.clone(), wanted.size, wanted.sha256);
    let there = spawn_blocking(move || VerifiedFile::from_local(&path, size, sha256)).await;
    let (size, is_new) = match there.map_err(BuildError::panicked)? {
        Ok(file) => (file.size(), false),
        Err(VerifyError::Unreadable { .. } | VerifyError::WrongContent { .. }) => {
            let file = fetcher.fetch(&wanted, &mirrors).await?;
            let size = file.size();
            let written = spawn_blocking(move || copy(file, &target)).await.map_err(BuildError::panicked)?;
            written.map_err(|error| unwritable(folder, error))?;
            (size, true)
        }
    };
    Ok((Vendored { path: place, size, sha256: hex::encode(wanted.sha256) }, is_new))
}

/// A copy of its own, never a link: whoever changes the folder does not change the download cache. It is whole or not there; what
/// a power cut does to it is found by its digest.
fn copy(mut file: VerifiedFile, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = target.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new().prefix(".smolvm-").tempfile_in(folder)?;
    // From the handle that was hashed.
    io::copy(&mut file, &mut temporary)?;
    temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    temporary
        .persist(target)
        .map(drop)
        .map_err(|error| io::Error::new(error.error.kind(), format!("{}: {}", target.display(), error.error)))
}

fn unwritable(folder: &Path, error: io::Error) -> BuildError {
    let help = Some("make sure that the folder can be written and has room, then run the command again".to_owned());
    BuildError::host(IoFailure { doing: format!("putting packages into `{}`", folder.display()), error, help })
}

/// What a build takes from elsewhere, in words.
fn not_vendored(manifest: &Manifest) -> Vec<String> {
    let steps = manifest.run.iter().enumerate().filter(|(_, step)| step.network);
    steps.map(|(index, step)| format!("what run[{index}] takes from the network: `{}`", step.command)).collect()
}

/// The folder that a build is to take everything from, if it is one.
pub(crate) fn folder(options: &BuildOptions) -> Result<Option<PathBuf>, BuildError> {
    match &options.mirror_dir {
        Some(folder) if !folder.is_dir() => Err(BuildError::input(NoFolder { folder: folder.clone() })),
        folder => Ok(folder.clone()),
    }
}

/// A build with Docker takes its base and packages from the network, whatever a folder holds.
pub(crate) fn check_engine(engine: EngineKind, options: &BuildOptions) -> Result<(), BuildError> {
    if engine == EngineKind::Docker && options.mirror_dir.is_some() {
        return Err(BuildError::input(NoDocker { doing: "built with `--mirror-dir`".to_owned() }));
    }
    Ok(())
}

/// A folder of packages has no index to resolve from: a lock that answers must be there.
pub(crate) fn no_index(found: Option<FoundLock>, options: &BuildOptions) -> BuildError {
    let why = match found {
        Some(FoundLock::Current(_)) | None => "packages were to be chosen anew".to_owned(),
        Some(found) => found.lack(options),
    };
    let smolfile = options.smolfile.display().to_string();
    let folder = options.mirror_dir.clone().unwrap_or_default().display().to_string();
    BuildError::input(NoIndex { why, smolfile, folder })
}

#[derive(Debug, Error, Diagnostic)]
#[error("an image that Docker builds cannot be {doing}")]
#[diagnostic(
    code(smolvm::vendor::docker),
    help(
        "its base image, and what the package manager in it installs, come from the network. Use a Debian or Ubuntu base and \
         the embedded engine, or leave out `--mirror-dir` (and SMOLVM_MIRROR_DIR) and have Docker hold the image (`docker pull`)"
    )
)]
struct NoDocker {
    doing: String,
}

#[derive(Debug, Error, Diagnostic)]
#[error("`{}`, which alone packages are to be taken from, is not a folder", folder.display())]
#[diagnostic(
    code(smolvm::vendor::no_folder),
    help("fill it with `smolvm vendor {}` where a mirror can be reached, or leave out `--mirror-dir` (and SMOLVM_MIRROR_DIR)", folder.display())
)]
struct NoFolder {
    folder: PathBuf,
}

#[derive(Debug, Error, Diagnostic)]
#[error("{why}, and `{folder}`, which alone packages are to be taken from, has no index")]
#[diagnostic(
    code(smolvm::vendor::no_lock),
    help(
        "where a mirror can be reached, and without `--mirror-dir` and SMOLVM_MIRROR_DIR: `smolvm lock -f {smolfile}`, then \
         `smolvm vendor {folder} -f {smolfile}`"
    )
)]
struct NoIndex {
    why: String,
    smolfile: String,
    folder: String,
}

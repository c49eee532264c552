//! `smolvm lock`: the lock beside a Smolfile is written, refreshed, or looked at.

use std::path::PathBuf;

use miette::Diagnostic;
use serde::Serialize;
use smolvm_manifest::{LockChange, Manifest};
use thiserror::Error;

use crate::build::{Sources, load_supported, resolve_now};
use crate::engine::EngineKind;
use crate::refresh::refresh;
use crate::resolve::{self, FoundLock};
use crate::{BuildError, BuildOptions, Events, Stage};

/// How much of a current lock is resolved anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockUpdate {
    /// Nothing: it is left as it is.
    Nothing,
    /// Everything.
    Everything,
    /// These packages, and what they need newer. All others stay as they are locked.
    Packages(Vec<String>),
}

/// What became of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockReport {
    /// The file.
    pub path: PathBuf,
    /// Whether it was written: a current one is left as it is, unless it was to be refreshed.
    pub written: bool,
    /// What it says otherwise than the one that was there.
    pub changes: Vec<LockChange>,
    /// How many packages it holds, the kernel's apart.
    pub packages: usize,
}

/// Writes the lock where it is missing or does not answer the Smolfile any more; `update` says what of a current one is refreshed.
pub async fn lock(options: &BuildOptions, update: &LockUpdate, events: &Events) -> Result<LockReport, BuildError> {
    let (manifest, engine) = load_supported(options, events)?;
    if let LockUpdate::Packages(names) = update {
        return Box::pin(update_packages(manifest, engine, names, options, events)).await;
    }
    let path = options.lock_path();
    let old = match FoundLock::of(&manifest, engine, options)? {
        FoundLock::Current(lock) if *update == LockUpdate::Nothing => {
            return Ok(LockReport { path, written: false, changes: Vec::new(), packages: lock.packages.len() });
        }
        FoundLock::Current(lock) | FoundLock::Outrun(lock, _) => Some(lock),
        FoundLock::Missing | FoundLock::Elsewhere(_) => None,
    };
    let sources = Sources::new(&manifest, options, events)?;
    let new = resolve_now(manifest, engine, options, &sources, events).await?.lock;
    let changes = old.map(|old| old.changes_to(&new)).unwrap_or_default();
    Ok(LockReport { path, written: true, changes, packages: new.packages.len() })
}

/// Resolves packages of a current lock anew. What another engine locked stays too.
async fn update_packages(
    manifest: Manifest,
    engine: EngineKind,
    names: &[String],
    options: &BuildOptions,
    events: &Events,
) -> Result<LockReport, BuildError> {
    match FoundLock::of(&manifest, engine, options)? {
        FoundLock::Current(_) => {}
        found => return Err(needed(&found, options)),
    }
    let Some(old) = resolve::read_lock(&manifest, options)?.get(manifest.arch).cloned() else {
        return Err(needed(&FoundLock::Missing, options));
    };
    let sources = Sources::new(&manifest, options, events)?;
    let refreshing = refresh(&manifest, &old, names, options, &sources);
    let new = events.stage_async(Stage::Resolve, refreshing).await?;
    let (path, changes, packages) = (options.lock_path(), old.changes_to(&new), new.packages.len());
    resolve::write_lock(&manifest, new, options)?;
    Ok(LockReport { path, written: true, changes, packages })
}

/// Refuses a lock that is missing or does not answer the Smolfile. Fetches and writes nothing.
pub fn check_lock(options: &BuildOptions, events: &Events) -> Result<LockReport, BuildError> {
    let (manifest, engine) = load_supported(options, events)?;
    match FoundLock::of(&manifest, engine, options)? {
        FoundLock::Current(lock) => {
            let path = options.lock_path();
            Ok(LockReport { path, written: false, changes: Vec::new(), packages: lock.packages.len() })
        }
        found => Err(needed(&found, options)),
    }
}

/// No current lock, where one has to be.
#[derive(Debug, Error, Diagnostic)]
#[error("{why}")]
#[diagnostic(
    code(smolvm::lock::needed),
    help("run `smolvm lock -f {smolfile}`, look at what changed, and commit the lock with the Smolfile")
)]
struct LockNeeded {
    why: String,
    smolfile: String,
}

/// Why there is no going on with what was found.
pub(crate) fn needed(found: &FoundLock, options: &BuildOptions) -> BuildError {
    let why = found.lack(options);
    BuildError::input(LockNeeded { why, smolfile: options.smolfile.display().to_string() })
}

//! `--verify-hit`: what the cache gave, compared with what a clean build gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use miette::Diagnostic;
use smolvm_engine::{Built, Job, Layers};
use smolvm_rootfs::{RootTree, write_listing};
use smolvm_store::{Image, Store};
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::commit::write_rootfs;
use crate::engine::{self, EngineKind};
use crate::error::IoFailure;
use crate::kernel::{self, Kernel};
use crate::{BuildError, BuildOptions, Event, steps};

/// How many differing paths are named.
const MOST_NAMED: usize = 20;

/// Builds everything again without the cache, and refuses an image that is another one. `cached` is a job that uses the cache, `clean` one in a
/// scratch folder of its own.
pub(crate) async fn verify_hit(
    engine: EngineKind,
    image: Image,
    cached: Job,
    mut clean: Job,
    options: &BuildOptions,
) -> Result<(), BuildError> {
    // A store of its own, which goes with the scratch folder: nothing of the one that is verified is used or changed.
    let apart = Store::open(clean.scratch.path().join("store"))?;
    clean.layers = Layers::find(apart, clean.layers.inputs().clone(), false)?;
    let clean_made = both(engine, &clean, options).await?;
    let cached_made = both(engine, &cached, options).await?;
    let compare = move || {
        let differences = differences(&image, &cached_made, &clean_made, &clean)?;
        let manifest = &clean.locked.manifest;
        if differences.is_empty() {
            clean.events.send(Event::Note("verified: a build without the cache gives the same bytes".to_owned()));
            return Ok(());
        }
        let more = differences.len().saturating_sub(MOST_NAMED);
        let mut named: Vec<String> = differences.into_iter().take(MOST_NAMED).collect();
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        let differences = named.join("\n  ");
        Err(if manifest.run.iter().any(|step| step.network) {
            BuildError::build(StepDiffers { differences })
        } else {
            BuildError::build(HitDiffers { differences })
        })
    };
    spawn_blocking(compare).await.map_err(BuildError::panicked)?
}

async fn both(engine: EngineKind, job: &Job, options: &BuildOptions) -> Result<(Built, Kernel), BuildError> {
    tokio::try_join!(
        async {
            let built = engine::run(engine, job.clone(), options).await;
            built.map_err(|error| steps::failure(error, &job.locked.manifest))
        },
        kernel::prepare(job, options),
    )
}

/// The names of what differs; the root file system as a whole where its tree does not say why.
fn differences(
    image: &Image,
    (cached, cached_kernel): &(Built, Kernel),
    (clean, clean_kernel): &(Built, Kernel),
    job: &Job,
) -> Result<Vec<String>, BuildError> {
    let mut differences = Vec::new();
    for (name, one, other) in [
        ("the kernel", Some(&cached_kernel.image), Some(&clean_kernel.image)),
        ("the initrd", cached_kernel.initrd.as_ref(), clean_kernel.initrd.as_ref()),
    ] {
        if one != other {
            differences.push(name.to_owned());
        }
    }
    let with_modules = |built: &Built, kernel: &Kernel| {
        let mut tree = built.tree.clone();
        kernel.add_modules(&mut tree, job.epoch()).map(|()| tree)
    };
    let (cached, mut clean) = (with_modules(cached, cached_kernel)?, with_modules(clean, clean_kernel)?);
    let (old, new) = (lines(&cached)?, lines(&clean)?);
    let differs = |path: &&String| old.get(*path) != new.get(*path);
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).filter(differs).collect();
    for path in paths {
        let line = |lines: &BTreeMap<String, String>| lines.get(path).cloned().unwrap_or_else(|| "nothing".to_owned());
        differences.push(format!("{path}: {} in the cache, {} in the clean build", line(&old), line(&new)));
    }
    let record = image.record();
    let (place, stop) = (job.scratch.path().join("verified"), AtomicBool::new(false));
    let (written, _) = write_rootfs(&mut clean, &job.locked.manifest, job.epoch(), &record.key, &place, &stop)?;
    if written.blake3 != record.rootfs.blake3 && differences.is_empty() {
        differences.push("the root file system of the image in the store".to_owned());
    }
    for (name, blob, bytes) in [
        ("the kernel of the image in the store", Some(&record.kernel), Some(&clean_kernel.image)),
        ("the initrd of the image in the store", record.initrd.as_ref(), clean_kernel.initrd.as_ref()),
    ] {
        if blob.map(|blob| blob.blake3.clone()) != bytes.map(|bytes| blake3::hash(bytes).to_hex().to_string()) {
            differences.push(name.to_owned());
        }
    }
    Ok(differences)
}

/// The listing of a tree, by path.
fn lines(tree: &RootTree) -> Result<BTreeMap<String, String>, BuildError> {
    let mut text = Vec::new();
    write_listing(tree, &mut text).map_err(|error| {
        BuildError::host(IoFailure { doing: "reading the tree to compare it".to_owned(), error, help: None })
    })?;
    let text = String::from_utf8_lossy(&text);
    let line = |line: &str| line.split_once(' ').map(|(path, rest)| (path.to_owned(), rest.to_owned()));
    Ok(text.lines().filter_map(line).collect())
}

/// A hit that is not what a clean build gives.
#[derive(Debug, Error, Diagnostic)]
#[error("what the cache gives is not what a build without it gives:\n  {differences}")]
#[diagnostic(
    code(smolvm::build::hit_differs),
    help(
        "this is a defect of smolvm, or the store was damaged: please report it with the Smolfile and its lock; `smolvm build --no-cache` \
         replaces what is in the store"
    )
)]
struct HitDiffers {
    differences: String,
}

/// The same where a step may well do something else each time.
#[derive(Debug, Error, Diagnostic)]
#[error(
    "what the cache gives is not what a build without it gives, and the run steps have a network:\n  {differences}"
)]
#[diagnostic(
    code(smolvm::build::hit_differs),
    help(
        "what a step fetches may be something else today: `network: false` says that it needs none, `smolvm build --no-cache` runs the \
         steps again and keeps what they make"
    )
)]
struct StepDiffers {
    differences: String,
}

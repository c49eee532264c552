//! The whole build, one stage a line.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use miette::Diagnostic;
use smolvm_engine::{Job, Layers};
use smolvm_fetch::{FetchOptions, Fetcher};
use smolvm_manifest::{Inputs, Layer, LockedManifest, Manifest, load_bytes};
use smolvm_store::{BuildKey, BuildLock, Image, Store};
use thiserror::Error;

use crate::commit::{commit, described};
use crate::engine::{self, EngineKind, engine_of};
use crate::error::IoFailure;
use crate::surroundings::HostSurroundings;
use crate::{BuildError, BuildOptions, BuiltImage, CacheUse, Event, Events, Stage};
// The module too: the function of that name is made here.
use crate::resolve::{self, FoundLock};
use crate::unsupported::check_supported;
use crate::{explain, full_disk, kernel, locking, output, steps, vendor, verify, work};

/// Builds the image that a Smolfile describes, or finds it in the store.
///
/// Dropping the future stops the build; nothing of it is left behind but what was downloaded.
pub async fn build(options: &BuildOptions, events: &Events) -> Result<BuiltImage, BuildError> {
    let manifest = load(options, events)?;
    let engine = engine_of(&manifest, options.engine);
    match build_with(engine, manifest.clone(), options, events).await {
        Err(error) if options.mirror_dir.is_none() && engine::falls_back(engine, options.engine, &error) => {
            events
                .send(Event::Note(format!("building with Docker, since the embedded engine cannot run here: {error}")));
            // Where there is no Docker either, the embedded engine's own trouble is the nearer one to mend.
            engine::docker(options, &manifest.name).await.map_err(|_| error)?;
            build_with(EngineKind::Docker, manifest, options, events).await
        }
        outcome => outcome,
    }
}

async fn build_with(
    engine: EngineKind,
    manifest: Manifest,
    options: &BuildOptions,
    events: &Events,
) -> Result<BuiltImage, BuildError> {
    let started = Instant::now();
    check_supported(&manifest, engine).map_err(BuildError::input)?;
    let sources = Sources::new(&manifest, options, events)?;
    let locked = lock(manifest, engine, options, &sources, events).await?;
    let inputs = inputs(&locked, engine);
    let key = inputs.key();
    let store = Store::open(&options.image_dir)?;
    let to_verify = (options.cache == CacheUse::Verify).then(|| (locked.clone(), inputs.clone()));
    let (image, reused) = match store.lookup(&key)?.filter(|_| options.cache != CacheUse::Refresh) {
        Some(image) => (image, None),
        None => Box::pin(make(engine, locked.clone(), inputs, &store, options, &sources, events)).await?,
    };
    store.name(&image, &locked.manifest.name, options.host.now())?;
    if let Some((locked, inputs)) = to_verify {
        let cached = job(locked, Layers::find(store.clone(), inputs, true)?, &store, options, &sources, events)?;
        let clean = Job { scratch: work::scratch(&store)?, ..cached.clone() };
        Box::pin(verify::verify_hit(engine, image.clone(), cached, clean, options)).await?;
    }
    let built = described(&image, &locked.manifest.name, reused.as_deref(), started.elapsed());
    if let Some(folder) = &options.output {
        output::deliver(&built, folder)?;
    }
    Ok(built)
}

/// What a Smolfile means exactly: by its lock where that answers, else by the archives' indexes, and then the lock is written.
pub async fn resolve(options: &BuildOptions, events: &Events) -> Result<LockedManifest, BuildError> {
    let (manifest, engine) = load_supported(options, events)?;
    let sources = Sources::new(&manifest, options, events)?;
    lock(manifest, engine, options, &sources, events).await
}

/// Validates a Smolfile, everything that it refers to, and the lock beside it where there is one. Nothing is built or fetched.
pub fn check(options: &BuildOptions, events: &Events) -> Result<Manifest, BuildError> {
    let (manifest, engine) = load_supported(options, events)?;
    FoundLock::of(&manifest, engine, options)?;
    Ok(manifest)
}

/// Validates Smolfiles that are to be built by one command, before the first one is: two of them may not make images of one name.
pub fn check_together(all: &[BuildOptions]) -> Result<(), BuildError> {
    let mut smolfiles: BTreeMap<String, &Path> = BTreeMap::new();
    for options in all {
        // What is to be warned of is told when it is built.
        let name = load(options, &Events::silent())?.name;
        if let Some(first) = smolfiles.insert(name.clone(), &options.smolfile) {
            let [first, second] = [first, &options.smolfile].map(|path| path.display().to_string());
            return Err(BuildError::input(SameName { name, first, second }));
        }
    }
    Ok(())
}

/// The later image would take the name from the earlier one.
#[derive(Debug, Error, Diagnostic)]
#[error("`{first}` and `{second}` both make the image `{name}`")]
#[diagnostic(code(smolvm::build::same_name), help("give one of them another `name`, or build them by two commands"))]
struct SameName {
    name: String,
    first: String,
    second: String,
}

/// The Smolfile, and the engine that would build it.
pub(crate) fn load_supported(options: &BuildOptions, events: &Events) -> Result<(Manifest, EngineKind), BuildError> {
    let manifest = load(options, events)?;
    let engine = engine_of(&manifest, options.engine);
    check_supported(&manifest, engine).map_err(BuildError::input)?;
    Ok((manifest, engine))
}

/// Reads and validates a Smolfile.
pub fn load(options: &BuildOptions, events: &Events) -> Result<Manifest, BuildError> {
    let name = options.smolfile.display().to_string();
    let bytes = crate::files::read_small(&options.smolfile).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "name it with `-f PATH`, or write a new one with `smolvm init`",
            _ => "the Smolfile must be a file that you can read",
        };
        BuildError::input(IoFailure { doing: format!("reading `{name}`"), error, help: Some(help.to_owned()) })
    })?;
    let surroundings = HostSurroundings::of(&options.smolfile, &options.host);
    let loaded = load_bytes(&name, &bytes, &surroundings).map_err(BuildError::input)?;
    for warning in loaded.warnings {
        events.send(Event::Warning(warning));
    }
    Ok(loaded.manifest)
}

/// How package files are got, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) fetcher: Fetcher,
    pub(crate) mirrors: smolvm_fetch::Mirrors,
}

impl Sources {
    pub(crate) fn new(manifest: &Manifest, options: &BuildOptions, events: &Events) -> Result<Self, BuildError> {
        let sink = events.clone();
        let fetcher = Fetcher::new(FetchOptions {
            offline: options.offline,
            vendored: vendor::folder(options)?,
            retries: options.retries,
            timeouts: options.timeouts,
            events: Arc::new(move |event| sink.send(Event::Fetch(event))),
            ..FetchOptions::new(&options.cache_dir)
        });
        Ok(Self { fetcher, mirrors: resolve::mirrors(manifest, options)? })
    }
}

/// The lock beside the manifest where it answers, else a new one.
pub(crate) async fn lock(
    manifest: Manifest,
    engine: EngineKind,
    options: &BuildOptions,
    sources: &Sources,
    events: &Events,
) -> Result<LockedManifest, BuildError> {
    let old = match FoundLock::of(&manifest, engine, options)? {
        FoundLock::Current(lock) => return LockedManifest::new(manifest, *lock).map_err(BuildError::input),
        found if options.mirror_dir.is_some() => return Err(vendor::no_index(Some(found), options)),
        found if options.locked => return Err(locking::needed(&found, options)),
        FoundLock::Missing | FoundLock::Elsewhere(_) => None,
        FoundLock::Outrun(lock, why) => {
            events.send(Event::Note(format!("{why}: resolving again")));
            Some(lock)
        }
    };
    let locked = resolve_now(manifest, engine, options, sources, events).await?;
    for change in old.iter().flat_map(|old| old.changes_to(&locked.lock)) {
        events.send(Event::Note(format!("lock: {change}")));
    }
    Ok(locked)
}

/// Resolves against the indexes of today, and writes the lock.
pub(crate) async fn resolve_now(
    manifest: Manifest,
    engine: EngineKind,
    options: &BuildOptions,
    sources: &Sources,
    events: &Events,
) -> Result<LockedManifest, BuildError> {
    if options.mirror_dir.is_some() {
        return Err(vendor::no_index(None, options));
    }
    let resolving = resolve::resolve_now(manifest, engine, options, &sources.fetcher, &sources.mirrors, events);
    events.stage_async(Stage::Resolve, resolving).await
}

/// All that decides the image's bytes.
pub(crate) fn inputs(locked: &LockedManifest, engine: EngineKind) -> Inputs {
    locked.inputs(engine.as_str(), &smolvm_render::digest())
}

/// Makes the image, unless another process did so while this one waited for its turn. Tells which layers were reused; nothing where the
/// whole image was.
async fn make(
    engine: EngineKind,
    locked: LockedManifest,
    inputs: Inputs,
    store: &Store,
    options: &BuildOptions,
    sources: &Sources,
    events: &Events,
) -> Result<(Image, Option<Vec<Layer>>), BuildError> {
    resolve::check_clock(locked.lock.epoch, options)?;
    vendor::check_engine(engine, options)?;
    let key = inputs.key();
    let turn = wait_for_turn(store, &key, events).await?;
    if let Some(image) = store.lookup(&key)?.filter(|_| options.cache != CacheUse::Refresh) {
        return Ok((image, None));
    }
    let layers = Layers::find(store.clone(), inputs, options.cache != CacheUse::Refresh)?;
    let previous = store.find(&locked.manifest.name).ok();
    let explained = explain::of_build(&layers, previous.as_ref().map(Image::record), engine);
    drop(previous);
    events.send(Event::Note(explain::line(&explained)));
    let reused = Layer::ALL.into_iter().filter(|layer| layers.has(*layer)).collect();

    let job = job(locked, layers, store, options, sources, events)?;
    // Held until a failure has been judged: with the folder, the disk would no longer be full.
    let _scratch = job.scratch.clone();
    let image =
        assemble(engine, job, store, turn, options).await.map_err(|error| full_disk::recognised(error, store))?;
    Ok((image, Some(reused)))
}

/// Everything that an engine needs to know.
fn job(
    locked: LockedManifest,
    layers: Layers,
    store: &Store,
    options: &BuildOptions,
    sources: &Sources,
    events: &Events,
) -> Result<Job, BuildError> {
    Ok(Job {
        recipe: smolvm_render::render(&locked).map_err(BuildError::input)?,
        scratch: work::scratch(store)?,
        layers,
        fetcher: sources.fetcher.clone(),
        mirrors: sources.mirrors.with_snapshots_of(&locked.lock),
        surroundings: steps::surroundings(&locked.manifest, options)?,
        events: events.clone(),
        locked,
    })
}

/// Root file system and kernel at the same time, then both into the store.
async fn assemble(
    engine: EngineKind,
    job: Job,
    store: &Store,
    turn: BuildLock,
    options: &BuildOptions,
) -> Result<Image, BuildError> {
    let (built, kernel) = tokio::try_join!(
        async {
            let built = engine::run(engine, job.clone(), options).await;
            built.map_err(|error| steps::failure(error, &job.locked.manifest))
        },
        kernel::prepare(&job, options),
    )?;
    commit(store.clone(), turn, job, built, kernel, options.cache == CacheUse::Refresh, options.host.now()).await
}

/// How often a build that waits for another one looks whether that has ended.
const TURN_INTERVAL: Duration = Duration::from_millis(100);

/// The right to build a key. Two builds of the same image would do the same work: the second waits and finds it done.
async fn wait_for_turn(store: &Store, key: &BuildKey, events: &Events) -> Result<BuildLock, BuildError> {
    let mut told = false;
    loop {
        if let Some(turn) = store.try_lock(key)? {
            return Ok(turn);
        }
        if !std::mem::replace(&mut told, true) {
            events.send(Event::Note("another build of the same image is under way: waiting for it".to_owned()));
        }
        tokio::time::sleep(TURN_INTERVAL).await;
    }
}

//! The fetcher: what the rest of smolvm sees of the network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use miette::Diagnostic;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::cache::{Cache, Lookup};
use crate::client::LazyClient;
use crate::download::Download;
use crate::error::{FetchError, IndexError, MirrorFailure};
use crate::event::FetchEvent;
use crate::index::IndexDownload;
use crate::made::Making;
use crate::mirrors::{Mirror, MirrorOrigin};
use crate::partial::Partial;
use crate::retry::{Defeat, Health, over_mirrors};
use crate::verified::{VerifiedFile, VerifyError, describe};
use crate::wanted::{Wanted, WantedIndex};

/// Fetches files. Cheap to clone; clones share connections, the limit on parallel downloads, and what is known of dead mirrors.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

struct Shared {
    options: FetchOptions,
    cache: Cache,
    client: LazyClient,
    health: Health,
    /// How many files are worked on at once, hashing of cached ones included.
    places: Semaphore,
}

/// How to fetch.
#[derive(Clone)]
pub struct FetchOptions {
    /// The folder of the download cache. Created when something is put there.
    pub cache: PathBuf,
    /// Use the cache alone.
    pub offline: bool,
    /// Use this folder alone, which `smolvm vendor` filled: neither mirrors nor the cache.
    pub vendored: Option<PathBuf>,
    /// How many files to work on at once.
    pub parallel: usize,
    /// How often to ask again.
    pub retries: Retries,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Whether to use the proxy that the system or the environment names.
    pub system_proxy: bool,
    /// Told of everything that happens, on whichever thread it happens.
    pub events: Arc<dyn Fn(FetchEvent) + Send + Sync>,
}

/// How often a mirror is asked, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// How often a mirror is asked for a file when it brings nothing.
    pub attempts: u32,
    /// The wait after the first attempt; each later one is three times as long, with some jitter.
    pub first_wait: Duration,
    /// The longest of those waits.
    pub longest_wait: Duration,
    /// A server that asks to wait longer than this is given up instead.
    pub longest_retry_after: Duration,
}

/// How long to wait for a mirror.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub idle: Duration,
    /// A mirror is too slow if, over this time …
    pub slow_over: Duration,
    /// … it sends fewer bytes a second than this.
    pub slow_bytes_per_second: u64,
}

/// Four attempts per mirror.
impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(5),
            longest_retry_after: Duration::from_secs(30),
        }
    }
}

/// A mirror is given up when nothing arrives for 20 seconds, or less than 1 KiB a second for 30.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(20),
            slow_over: Duration::from_secs(30),
            slow_bytes_per_second: 1024,
        }
    }
}

impl FetchOptions {
    /// What suits a build: eight files at once.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            offline: false,
            vendored: None,
            parallel: 8,
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            system_proxy: true,
            events: Arc::new(|_| {}),
        }
    }
}

impl Fetcher {
    /// A fetcher. Opens nothing and connects to nothing yet.
    pub fn new(options: FetchOptions) -> Self {
        let shared = Shared {
            cache: Cache::new(options.cache.clone()),
            client: LazyClient::default(),
            health: Health::default(),
            places: Semaphore::new(options.parallel.max(1)),
            options,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Gets a file from the cache, or from the first of `mirrors` that has it. Those that are snapshots are asked for a locked
    /// package alone, and only when the others do not have it any more.
    ///
    /// Dropping the future stops the download; what arrived stays, and the next fetch of the same file goes on from there.
    pub async fn fetch(&self, wanted: &Wanted, mirrors: &[Mirror]) -> Result<VerifiedFile, FetchError> {
        let Shared { options, cache, client, health, places } = &*self.shared;
        // The semaphore is never closed.
        let _place = places.acquire().await;
        if let Some(folder) = &options.vendored {
            return self.vendored(folder, wanted).await;
        }
        let wanted = Arc::new(wanted.clone());
        let (snapshots, live): (Vec<_>, Vec<_>) =
            mirrors.iter().cloned().partition(|mirror| mirror.origin() == MirrorOrigin::Snapshot);
        let snapshots = if wanted.package.is_some() { snapshots } else { Vec::new() };
        let has_mirrors = !live.is_empty() || !snapshots.is_empty();
        let partial = match self.hit_or_partial(&wanted, has_mirrors).await? {
            Ready::Hit(file) => {
                let (name, bytes) = (Arc::clone(&wanted.name), file.size());
                (options.events)(FetchEvent::Finished { name, bytes, cached: true });
                return Ok(file);
            }
            Ready::Partial(partial) => partial,
        };
        let mut download =
            Download { client, options, cache, wanted: Arc::clone(&wanted), partial: Some(partial), version: None };
        let expected = || describe(wanted.size, &wanted.sha256);
        let file = match over_mirrors(&mut download, &wanted.name, &live, options, health).await {
            Ok(file) => file,
            Err(defeat) => match &wanted.package {
                Some(package) if live.is_empty() || defeat.is_gone() => {
                    for MirrorFailure { mirror, reason, .. } in defeat.replaced() {
                        (options.events)(FetchEvent::Replaced { name: Arc::clone(&wanted.name), mirror, reason });
                    }
                    if !snapshots.is_empty() {
                        let version = package.version.clone();
                        (options.events)(FetchEvent::Gone { name: Arc::clone(&wanted.name), version });
                    }
                    over_mirrors(&mut download, &wanted.name, &snapshots, options, health).await.map_err(|last| {
                        let failures = [defeat.failures(), last.failures()].concat();
                        match last {
                            Defeat::Local(error) => error,
                            Defeat::Mirrors(_) => {
                                FetchError::gone(&wanted.name, &wanted.path, package, expected(), failures)
                            }
                        }
                    })?
                }
                _ => return Err(defeat.into_error(&wanted.name, &wanted.path, expected)),
            },
        };
        (options.events)(FetchEvent::Finished { name: Arc::clone(&wanted.name), bytes: file.size(), cached: false });
        Ok(file)
    }

    /// Gets a file whose digest is not known beforehand: a signed index. `accept` checks it and takes from it what the
    /// caller wants; an index that it refuses is asked for once more and then at the next mirror, and is never kept.
    ///
    /// What was accepted is kept, and asked for again only if the mirror says that it changed. Offline, the kept one is used.
    pub async fn fetch_index<T, E>(
        &self,
        wanted: &WantedIndex,
        mirrors: &[Mirror],
        accept: impl Fn(&[u8]) -> Result<T, E> + Send + Sync,
    ) -> Result<T, IndexError<E>>
    where
        T: Send,
        E: Diagnostic + Send + Sync + 'static,
    {
        let Shared { options, cache, client, health, places } = &*self.shared;
        let _place = places.acquire().await;
        let mut download = IndexDownload { client, options, cache, wanted, accept, refusal: None };
        let live: Vec<_> = mirrors.iter().filter(|mirror| mirror.origin() != MirrorOrigin::Snapshot).cloned().collect();
        let mirrors = live.as_slice();
        let outcome = if let Some(folder) = &options.vendored {
            let (name, folder) = (wanted.name.to_string(), folder.clone());
            Err((FetchError::NotVendored { name, folder, place: None }, Vec::new()))
        } else if options.offline {
            let kept = download.offline(mirrors).await;
            kept.ok_or_else(|| (FetchError::Offline { name: wanted.name.to_string() }, Vec::new()))
        } else {
            match over_mirrors(&mut download, &wanted.name, mirrors, options, health).await {
                Ok((accepted, bytes, cached)) => {
                    (options.events)(FetchEvent::Finished { name: Arc::clone(&wanted.name), bytes, cached });
                    Ok(accepted)
                }
                Err(defeat) => {
                    let others = defeat.failures();
                    let error = defeat.into_error(&wanted.name, &wanted.path, || "an index".to_owned());
                    Err((error, others))
                }
            }
        };
        outcome.map_err(|(error, mut others)| match download.refusal.take() {
            Some((mirror, refusal)) if !error.is_host_fault() => {
                others.retain(|failure| failure.mirror != mirror);
                IndexError::Refused { name: wanted.name.to_string(), mirror, others, refusal }
            }
            _ => error.into(),
        })
    }

    /// What was made of a download under this name (see [`Self::make`]), if it still has this size in bytes and this sha256.
    pub async fn find_made(&self, name: &str, size: u64, sha256: [u8; 32]) -> Option<VerifiedFile> {
        let Shared { options, cache, places, .. } = &*self.shared;
        if options.vendored.is_some() {
            return None;
        }
        let _place = places.acquire().await;
        let (cache, name) = (cache.clone(), name.to_owned());
        spawn_blocking(move || cache.find_made(&name, size, sha256)).await.ok()?
    }

    /// Begins a file that is made of a download, and takes the place of what was made under this name before. `None` where nothing
    /// can be kept: the maker goes on without. Blocks for as long as opening a file takes.
    pub fn make(&self, name: &str) -> Option<Making> {
        let Shared { options, cache, .. } = &*self.shared;
        if options.vendored.is_some() { None } else { cache.make(name) }
    }

    /// A file out of the folder that `smolvm vendor` filled, proven again.
    async fn vendored(&self, folder: &Path, wanted: &Wanted) -> Result<VerifiedFile, FetchError> {
        let name = wanted.name.to_string();
        let missing = |place| FetchError::NotVendored { name: name.clone(), folder: folder.to_owned(), place };
        let Some(place) = &wanted.vendored else { return Err(missing(None)) };
        let (path, size, sha256) = (folder.join(place), wanted.size, wanted.sha256);
        let proven = spawn_blocking(move || VerifiedFile::from_local(&path, size, sha256)).await;
        let proven = proven.map_err(|error| {
            let (name, source) = (name.clone(), std::io::Error::other(error));
            VerifyError::Unreadable { name, source }
        });
        match proven.and_then(|proven| proven) {
            Ok(file) => {
                let (name, bytes) = (Arc::clone(&wanted.name), file.size());
                (self.shared.options.events)(FetchEvent::Finished { name, bytes, cached: true });
                Ok(file)
            }
            Err(VerifyError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(missing(Some(place.clone())))
            }
            Err(source) => {
                let (name, folder, source) = (name.clone(), folder.to_owned(), Box::new(source));
                Err(FetchError::VendoredDamaged { name, folder, source })
            }
        }
    }

    /// The whole file, or the right to write it.
    async fn hit_or_partial(&self, wanted: &Arc<Wanted>, has_mirrors: bool) -> Result<Ready, FetchError> {
        /// How often to look whether whoever else downloads the same file is done.
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let Shared { options, cache, .. } = &*self.shared;
        let mut told = false;
        loop {
            let may_download = !options.offline && has_mirrors;
            let (ours, file) = (cache.clone(), Arc::clone(wanted));
            let found = spawn_blocking(move || look(&ours, &file, may_download)).await.map_err(std::io::Error::other);
            let error = |error| FetchError::of_cache(&wanted.name, cache.root(), error);
            let Found { damaged, state } = found.and_then(|found| found).map_err(error)?;
            if damaged {
                (options.events)(FetchEvent::DamagedCacheEntry { name: Arc::clone(&wanted.name) });
            }
            match state {
                State::Ready(ready) => return Ok(ready),
                State::Absent if options.offline => {
                    return Err(FetchError::Offline { name: wanted.name.to_string() });
                }
                State::Absent => return Err(FetchError::NoMirror { name: wanted.name.to_string() }),
                State::Busy => {
                    if !std::mem::replace(&mut told, true) {
                        (options.events)(FetchEvent::Waiting { name: Arc::clone(&wanted.name) });
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }
}

enum Ready {
    Hit(VerifiedFile),
    Partial(Partial),
}

enum State {
    Ready(Ready),
    Absent,
    Busy,
}

struct Found {
    damaged: bool,
    state: State,
}

fn look(cache: &Cache, wanted: &Wanted, may_download: bool) -> std::io::Result<Found> {
    let damaged = match cache.look_up(wanted)? {
        Lookup::Hit(file) => return Ok(Found { damaged: false, state: State::Ready(Ready::Hit(file)) }),
        Lookup::Miss => false,
        Lookup::Damaged => true,
    };
    if !may_download {
        return Ok(Found { damaged, state: State::Absent });
    }
    let Some(partial) = Partial::try_open(cache, wanted)? else {
        return Ok(Found { damaged, state: State::Busy });
    };
    // Between the look and the lock, somebody else may have finished it.
    if let Lookup::Hit(file) = cache.look_up(wanted)? {
        return Ok(Found { damaged, state: State::Ready(Ready::Hit(file)) });
    }
    Ok(Found { damaged, state: State::Ready(Ready::Partial(partial)) })
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions")
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("vendored", &self.vendored)
            .field("parallel", &self.parallel)
            .field("retries", &self.retries)
            .field("timeouts", &self.timeouts)
            .field("system_proxy", &self.system_proxy)
            .finish_non_exhaustive()
    }
}

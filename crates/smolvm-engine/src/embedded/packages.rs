//! Packages: fetched, unpacked on all cores as they arrive, installed in the sandbox meanwhile.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::iter::Chain;
use std::sync::Arc;
use std::vec::IntoIter;

use smolvm_fetch::Wanted;
use smolvm_manifest::{Layer, LockedPackage, PackageLayer};
use smolvm_packages::deb::commute::{self, InstalledImage, Refusal};
use smolvm_packages::deb::control::Control;
use smolvm_packages::deb::install::{
    Arrivals, InstallEvent, InstallOptions, Stopper, UnpackJob, Unpacked, Unpacker, Urgency, install as install_waves,
};
use smolvm_packages::deb::plan::{Wave, plan};
use smolvm_packages::deb::unpack::{ControlFiles, UnpackError, UnpackLimits, UnpackedPackage, read_control};
use smolvm_sandbox::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};

use crate::job::Job;
use crate::layers::{Cached, Smaller};
use crate::output::Output;
use crate::{EngineError, Event, Stage};

/// The packages that are yet to be installed: the order in which to do it, and they themselves as they are unpacked into scratch.
pub(super) struct Arriving {
    /// What they are installed into; nothing where the base is among them.
    pub(super) onto: Option<Cached>,
    base: Vec<Wave>,
    user: Vec<Wave>,
    packages: Arrivals<All>,
    _stop_when_dropped: Stopper<Held>,
}

/// Those that were waited for, and those that are still on their way.
type All = Chain<IntoIter<Result<UnpackedPackage, UnpackError>>, Unpacked<Held>>;

/// The right to hold one more package's file open.
type Held = Option<OwnedSemaphorePermit>;

/// How many packages are fetched or wait to be unpacked at a time: each holds a file open, of which a process has 1024 unasked.
const MOST_IN_HAND: usize = 512;

/// Fetches every package that no layer has, or only those that can be added to a layer which has all others. Each is given to be unpacked
/// as soon as it is verified.
pub(super) async fn fetch_all(job: &Job) -> Result<Arriving, EngineError> {
    let mut fetching = Fetching::start(job);
    if let Some(smaller) = job.layers.smaller_packages()? {
        fetching = match fetching.add_to(smaller).await? {
            Addition::Possible(arriving) => {
                job.events.send(Event::Note(format!("packages: {} to the cached layer", arriving.added())));
                return Ok(arriving);
            }
            Addition::Refused(fetching, why) => {
                job.events.send(Event::Note(format!("packages: all installed together again, since {why}")));
                fetching
            }
        };
    }
    fetching.rest().await
}

/// Packages on their way.
struct Fetching<'a> {
    job: &'a Job,
    unpacker: Arc<Unpacker<Held>>,
    arriving: Unpacked<Held>,
    /// Dropping the future (Ctrl-C) ends unpacking, and with it whoever waits for it.
    stop_when_dropped: Stopper<Held>,
    in_hand: Arc<Semaphore>,
    /// Those that were fetched.
    base: Vec<Control>,
    user: Vec<Control>,
    /// Those that were waited for.
    unpacked: Vec<Result<UnpackedPackage, UnpackError>>,
}

/// Whether packages can be added to a layer.
enum Addition<'a> {
    Possible(Arriving),
    Refused(Fetching<'a>, Refusal),
}

impl<'a> Fetching<'a> {
    fn start(job: &'a Job) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (unpacker, arriving) = Unpacker::start(job.scratch(), UnpackLimits::default(), cores, Urgency::Soon);
        Self {
            job,
            unpacker: Arc::new(unpacker),
            stop_when_dropped: arriving.stopper(),
            arriving,
            in_hand: Arc::new(Semaphore::new(MOST_IN_HAND)),
            base: Vec::new(),
            user: Vec::new(),
            unpacked: Vec::new(),
        }
    }

    /// Fetches what a layer lacks, and looks whether it can be added.
    async fn add_to(mut self, smaller: Smaller) -> Result<Addition<'a>, EngineError> {
        let Smaller { layer, missing } = smaller;
        let control_files = self.fetch(|package| missing.contains(&package.name)).await?;
        for (control, files) in self.user.iter().zip(&control_files) {
            if let Err(refusal) = commute::check_control(control, files) {
                return Ok(Addition::Refused(self, refusal));
            }
        }
        let fetching = self.when_unpacked().await?;
        let refusal = {
            let others = fetching.job.locked.lock.packages.iter().filter(|package| package.layer == PackageLayer::User);
            let together = others.map(|package| package.name.as_str()).filter(|name| !missing.contains(*name));
            let added: Vec<&UnpackedPackage> = fetching.unpacked.iter().flatten().collect();
            InstalledImage::new(layer.tree(), together, fetching.job.epoch()).check(&added).err()
        };
        Ok(match refusal {
            Some(refusal) => Addition::Refused(fetching, refusal),
            None => Addition::Possible(fetching.finish(Some(layer))),
        })
    }

    /// Waits until all that was fetched is unpacked.
    async fn when_unpacked(self) -> Result<Self, EngineError> {
        let Self { mut arriving, unpacked, .. } = self;
        let fetched = self.base.len() + self.user.len();
        let (arriving, unpacked) = spawn_blocking(move || {
            let missing = fetched - unpacked.len();
            let packages = unpacked.into_iter().chain(arriving.by_ref().take(missing));
            let packages: Result<Vec<UnpackedPackage>, UnpackError> = packages.collect();
            (arriving, packages)
        })
        .await?;
        Ok(Self { arriving, unpacked: unpacked?.into_iter().map(Ok).collect(), ..self })
    }

    /// Fetches all that neither a layer has nor was fetched already. The base comes first, since installing begins with it, then the
    /// largest, so that no core waits for one at the end.
    async fn rest(mut self) -> Result<Arriving, EngineError> {
        let base = self.job.layers.get(Layer::Base).cloned();
        let fetched: HashSet<String> = self.user.iter().map(|control| control.name.clone()).collect();
        self.fetch(|package| {
            let is_in_layer = package.layer == PackageLayer::Base && base.is_some();
            !is_in_layer && !fetched.contains(&package.name)
        })
        .await?;
        Ok(self.finish(base))
    }

    /// Fetches the packages that `is_wanted` says yes to, and returns their control files, in the order in which their control is kept.
    async fn fetch(&mut self, is_wanted: impl Fn(&LockedPackage) -> bool) -> Result<Vec<ControlFiles>, EngineError> {
        let locked = self.job.locked.lock.packages.iter();
        let mut packages: Vec<&LockedPackage> = locked.filter(|package| is_wanted(package)).collect();
        packages.sort_by_key(|package| (package.layer, Reverse(package.size)));
        let mut under_way = JoinSet::new();
        let total = packages.len() as u64;
        for package in packages {
            let (job, package) = (self.job.clone(), package.clone());
            let (unpacker, in_hand) = (Arc::clone(&self.unpacker), Arc::clone(&self.in_hand));
            under_way.spawn(async move {
                let held = in_hand.acquire_owned().await.ok();
                fetch(&job, package, held, &unpacker).await
            });
        }
        let mut all_files = Vec::new();
        while let Some(joined) = under_way.join_next().await {
            let (layer, control, files) = joined??;
            let (done, item) = (all_files.len() as u64 + 1, control.name.clone());
            if layer == PackageLayer::Base { &mut self.base } else { &mut self.user }.push(control);
            all_files.push(files);
            self.job.events.send(Event::StageProgress { stage: Stage::Fetch, done, total, item });
        }
        Ok(all_files)
    }

    /// No more packages are fetched.
    fn finish(self, onto: Option<Cached>) -> Arriving {
        let (base, user) = (plan(&self.base), plan(&self.user));
        self.unpacker.follow(base.iter().chain(&user));
        let packages = Arrivals::new(self.unpacked.into_iter().chain(self.arriving));
        Arriving { onto, base, user, packages, _stop_when_dropped: self.stop_when_dropped }
    }
}

/// Fetches a package, reads what planning needs to know of it, and hands it on.
async fn fetch(
    job: &Job,
    package: LockedPackage,
    held: Held,
    unpacker: &Unpacker<Held>,
) -> Result<(PackageLayer, Control, ControlFiles), EngineError> {
    let wanted = Wanted::package(&package)?;
    let deb = job.fetcher.fetch(&wanted, job.mirrors.of(&package.archive)).await?;
    let (package, read, deb) = spawn_blocking(move || {
        let read = read_control(deb.clone(), &package, &UnpackLimits::default());
        (package, read, deb)
    })
    .await?;
    let (layer, (control, files)) = (package.layer, read?);
    unpacker.push(UnpackJob { package, deb, held });
    Ok((layer, control, files))
}

impl Arriving {
    /// What is added to a layer, in a word.
    fn added(&self) -> String {
        match self.user.iter().flat_map(|wave| &wave.unpack).collect::<Vec<_>>()[..] {
            [name] => format!("{name} added"),
            ref names => format!("{} added", names.len()),
        }
    }

    /// Installs those of a layer: files placed, scripts run, everything configured.
    pub(super) fn install(&mut self, layer: Layer, session: &mut Session, job: &Job) -> Result<(), EngineError> {
        let waves = if layer == Layer::Base { &self.base } else { &self.user };
        let total = waves.iter().map(|wave| wave.unpack.len() as u64).sum();
        let options = InstallOptions { scratch: job.scratch().to_owned(), epoch: job.epoch() };
        let mut output = Output::new("dpkg", [], &job.events);
        let mut placed = 0;
        install_waves(session, waves, &mut self.packages, &options, &mut |event| match event {
            InstallEvent::Placed { packages } => placed += packages as u64,
            InstallEvent::Script { package, script } => {
                let item = format!("{package} ({script})");
                job.events.send(Event::StageProgress { stage: Stage::Install, done: placed, total, item });
            }
            InstallEvent::Output(bytes) => output.feed(bytes),
        })?;
        output.finish();
        Ok(())
    }
}

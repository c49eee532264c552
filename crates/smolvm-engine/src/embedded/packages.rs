//! Packages: fetched, unpacked on all cores as they arrive, installed in the sandbox meanwhile.

use std::cmp::Reverse;
use std::sync::Arc;

use smolvm_fetch::Wanted;
use smolvm_manifest::{Layer, LockedPackage, PackageLayer};
use smolvm_packages::deb::control::Control;
use smolvm_packages::deb::install::{
    Arrivals, InstallEvent, InstallOptions, UnpackJob, Unpacked, Unpacker, Urgency, install as install_waves,
};
use smolvm_packages::deb::plan::{Wave, plan};
use smolvm_packages::deb::unpack::{UnpackLimits, read_control};
use smolvm_sandbox::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};

use crate::job::Job;
use crate::output::Output;
use crate::{EngineError, Event, Stage};

/// The packages that are yet to be installed: the order in which to do it, and they themselves as they are unpacked into scratch.
pub(super) struct Arriving {
    base: Vec<Wave>,
    user: Vec<Wave>,
    packages: Arrivals<Unpacked<Held>>,
}

/// The right to hold one more package's file open.
type Held = Option<OwnedSemaphorePermit>;

/// How many packages are fetched or wait to be unpacked at a time: each holds a file open, of which a process has 1024 unasked.
const MOST_IN_HAND: usize = 512;

/// Fetches every package that no layer has; each is given to be unpacked as soon as it is verified. The base comes first, since
/// installing begins with it, then the largest, so that no core waits for one at the end.
pub(super) async fn fetch_all(job: &Job) -> Result<Arriving, EngineError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let is_wanted = |package: &&LockedPackage| package.layer == PackageLayer::User || !job.layers.has(Layer::Base);
    let mut packages: Vec<&LockedPackage> = job.locked.lock.packages.iter().filter(is_wanted).collect();
    packages.sort_by_key(|package| (package.layer, Reverse(package.size)));
    let total = packages.len() as u64;

    let (unpacker, arriving) = Unpacker::start(job.scratch(), UnpackLimits::default(), cores, Urgency::Soon);
    let unpacker = Arc::new(unpacker);
    let in_hand = Arc::new(Semaphore::new(MOST_IN_HAND));
    let mut under_way = JoinSet::new();
    for package in packages {
        let (job, package) = (job.clone(), package.clone());
        let (unpacker, in_hand) = (Arc::clone(&unpacker), Arc::clone(&in_hand));
        under_way.spawn(async move {
            let held = in_hand.acquire_owned().await.ok();
            fetch(&job, package, held, &unpacker).await
        });
    }
    let (mut base, mut user) = (Vec::new(), Vec::new());
    while let Some(joined) = under_way.join_next().await {
        let (layer, control) = joined??;
        let (done, item) = ((base.len() + user.len()) as u64 + 1, control.name.clone());
        if layer == PackageLayer::Base { &mut base } else { &mut user }.push(control);
        job.events.send(Event::StageProgress { stage: Stage::Fetch, done, total, item });
    }
    let (base, user) = (plan(&base), plan(&user));
    unpacker.follow(base.iter().chain(&user));
    Ok(Arriving { base, user, packages: Arrivals::new(arriving) })
}

/// Fetches a package, reads what planning needs to know of it, and hands it on.
async fn fetch(
    job: &Job,
    package: LockedPackage,
    held: Held,
    unpacker: &Unpacker<Held>,
) -> Result<(PackageLayer, Control), EngineError> {
    let wanted = Wanted::package(&package)?;
    let deb = job.fetcher.fetch(&wanted, job.mirrors.of(&package.archive)).await?;
    let (package, control, deb) = spawn_blocking(move || {
        let control = read_control(deb.clone(), &package, &UnpackLimits::default());
        (package, control, deb)
    })
    .await?;
    let (layer, control) = (package.layer, control?);
    unpacker.push(UnpackJob { package, deb, held });
    Ok((layer, control))
}

impl Arriving {
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

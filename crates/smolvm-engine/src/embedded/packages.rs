//! Packages: fetched, unpacked on all cores as they arrive, installed in the sandbox.

use std::sync::Arc;

use smolvm_fetch::Wanted;
use smolvm_manifest::LockedPackage;
use smolvm_packages::deb::install::{InstallEvent, InstallOptions, install as install_waves};
use smolvm_packages::deb::plan::plan;
use smolvm_packages::deb::unpack::{UnpackLimits, UnpackedPackage, unpack};
use smolvm_sandbox::Session;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

use super::output::Output;
use crate::job::Job;
use crate::{EngineError, Event, Stage};

/// All packages of an image, their contents waiting in the scratch folder, in the lock's order.
pub(super) type Unpacked = Vec<UnpackedPackage>;

/// How many packages are fetched or wait to be unpacked at a time: each holds a file open, and a desktop has a thousand.
const MOST_IN_HAND: usize = 32;

/// Fetches every package and unpacks it as soon as it is verified. The largest come first, so that no core waits for one at the end.
pub(super) async fn unpack_all(job: &Job) -> Result<Unpacked, EngineError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let unpacking = Arc::new(Semaphore::new(cores));
    let mut packages: Vec<(usize, LockedPackage)> = job.locked.lock.packages.iter().cloned().enumerate().collect();
    packages.sort_by_key(|(_, package)| std::cmp::Reverse(package.size));
    let total = packages.len() as u64;

    let in_hand = Arc::new(Semaphore::new(MOST_IN_HAND));
    let mut under_way = JoinSet::new();
    for (number, package) in packages {
        let (job, unpacking, in_hand) = (job.clone(), Arc::clone(&unpacking), Arc::clone(&in_hand));
        under_way.spawn(async move {
            let _held = in_hand.acquire().await;
            let wanted = Wanted::package(&package)?;
            let verified = job.fetcher.fetch(&wanted, job.mirrors.of(&package.archive)).await?;
            let _place = unpacking.acquire().await;
            let unpacked = spawn_blocking(move || {
                let unpacked = unpack(verified, &package, job.scratch(), &UnpackLimits::default());
                (package.name, unpacked)
            });
            let (name, unpacked) = unpacked.await?;
            Ok::<_, EngineError>((number, name, unpacked?))
        });
    }
    let mut unpacked = Vec::new();
    while let Some(joined) = under_way.join_next().await {
        let (number, item, package) = joined??;
        unpacked.push((number, package));
        let done = unpacked.len() as u64;
        job.events.send(Event::StageProgress { stage: Stage::Fetch, done, total, item });
    }
    unpacked.sort_by_key(|(number, _)| *number);
    Ok(unpacked.into_iter().map(|(_, package)| package).collect())
}

/// Installs them: files placed, scripts run, everything configured.
pub(super) fn install(packages: Unpacked, session: &mut Session, job: &Job) -> Result<(), EngineError> {
    let controls: Vec<_> = packages.iter().map(|package| package.control.clone()).collect();
    let total = packages.len() as u64;
    let options = InstallOptions { scratch: job.scratch().to_owned(), epoch: job.epoch() };
    let mut output = Output::new("dpkg", [], &job.events);
    let mut placed = 0;
    install_waves(session, &plan(&controls), packages.into_iter().map(Ok), &options, &mut |event| match event {
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

//! Unpacking on all processors, while packages still arrive and the first are already being installed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use smolvm_fetch::VerifiedFile;
use smolvm_manifest::{LockedPackage, PackageLayer};

use crate::deb::plan::Wave;
use crate::deb::unpack::{UnpackError, UnpackLimits, UnpackedPackage, unpack_unless};

/// A package to unpack.
#[derive(Debug)]
pub struct UnpackJob<K> {
    /// What it must be.
    pub package: LockedPackage,
    /// Its archive.
    pub deb: VerifiedFile,
    /// Dropped when the archive is no longer needed: what limits how many are open.
    pub held: K,
}

/// Threads that unpack what they are given: what is installed first comes first, and among that the largest, so that no thread
/// is left with one at the end.
///
/// Dropping it says that no more packages come: those that wait are still unpacked.
#[derive(Debug)]
pub struct Unpacker<K>(Arc<Queue<K>>);

/// The packages, as they are done. Dropping it ends the work, and waits for that: nothing is written to the scratch folder
/// afterwards.
#[derive(Debug)]
pub struct Unpacked<K> {
    packages: Receiver<Result<UnpackedPackage, UnpackError>>,
    workers: Vec<JoinHandle<()>>,
    queue: Arc<Queue<K>>,
}

/// How much unpacking holds up. Whatever runs in the sandbox comes before all of it: scripts run one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Installing waits for it.
    Soon,
    /// Nothing waits for it before the end.
    Late,
}

impl Urgency {
    /// Lowers the priority of the calling thread, as setpriority(2) does on Linux. Where that is refused, the build is slower.
    fn apply(self) {
        let niceness = match self {
            Self::Soon => 5,
            Self::Late => 15,
        };
        let _ = rustix::process::setpriority_process(None, niceness);
    }
}

#[derive(Debug)]
struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Condvar,
    /// Whether nobody wants the packages any more.
    stopped: AtomicBool,
}

#[derive(Debug)]
struct State<K> {
    jobs: Vec<UnpackJob<K>>,
    /// The wave of each package, once there is a plan.
    wave_of: HashMap<String, usize>,
    /// Whether no more jobs come.
    complete: bool,
}

impl<K: Send + 'static> Unpacker<K> {
    /// Starts `workers` threads that unpack into the scratch folder.
    pub fn start(scratch: &Path, limits: UnpackLimits, workers: usize, urgency: Urgency) -> (Self, Unpacked<K>) {
        let state = Mutex::new(State { jobs: Vec::new(), wave_of: HashMap::new(), complete: false });
        let queue = Arc::new(Queue { state, changed: Condvar::new(), stopped: AtomicBool::new(false) });
        let (sender, packages) = channel();
        let workers = (0..workers.max(1)).map(|_| {
            let (queue, sender, scratch) = (Arc::clone(&queue), sender.clone(), scratch.to_owned());
            std::thread::spawn(move || {
                urgency.apply();
                work(&queue, &sender, &scratch, &limits);
            })
        });
        let unpacked = Unpacked { packages, workers: workers.collect(), queue: Arc::clone(&queue) };
        (Self(queue), unpacked)
    }

    /// Gives them one more package.
    pub fn push(&self, job: UnpackJob<K>) {
        self.0.lock().jobs.push(job);
        self.0.changed.notify_one();
    }

    /// Has those that still wait unpacked in the order of a plan; before that, the base layer comes first.
    pub fn follow<'a>(&self, waves: impl IntoIterator<Item = &'a Wave>) {
        let numbered =
            waves.into_iter().enumerate().flat_map(|(number, wave)| wave.unpack.iter().map(move |name| (name, number)));
        self.0.lock().wave_of = numbered.map(|(name, number)| (name.clone(), number)).collect();
    }
}

impl<K> Drop for Unpacker<K> {
    fn drop(&mut self) {
        self.0.lock().complete = true;
        self.0.changed.notify_all();
    }
}

impl<K> Iterator for Unpacked<K> {
    type Item = Result<UnpackedPackage, UnpackError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.packages.recv().ok()
    }
}

impl<K> Unpacked<K> {
    /// Something whose end makes the work end early, for whoever hands the packages to another thread.
    pub fn stopper(&self) -> Stopper<K> {
        Stopper(Arc::clone(&self.queue))
    }
}

/// Ends unpacking when it is dropped, without waiting. After the last package that changes nothing.
#[derive(Debug)]
pub struct Stopper<K>(Arc<Queue<K>>);

impl<K> Drop for Stopper<K> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<K> Drop for Unpacked<K> {
    fn drop(&mut self) {
        self.queue.stop();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn work<K>(
    queue: &Queue<K>,
    sender: &Sender<Result<UnpackedPackage, UnpackError>>,
    scratch: &Path,
    limits: &UnpackLimits,
) {
    while let Some(UnpackJob { package, deb, held }) = queue.next() {
        let unpacked = unpack_unless(&queue.stopped, deb, &package, scratch, limits);
        drop(held);
        if sender.send(unpacked).is_err() {
            break;
        }
    }
}

impl<K> Queue<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        {
            // Under the lock, so that nobody begins to wait just now.
            let _state = self.lock();
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }

    /// Waits for a job; `None` when no more come.
    fn next(&self) -> Option<UnpackJob<K>> {
        let mut state = self.lock();
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.complete {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<K> State<K> {
    fn take(&mut self) -> Option<UnpackJob<K>> {
        let urgency = |LockedPackage { name, layer, size, .. }: &LockedPackage| {
            let wave = self.wave_of.get(name).copied().unwrap_or(usize::from(*layer != PackageLayer::Base));
            (Reverse(wave), *size)
        };
        let (first, _) = self.jobs.iter().enumerate().max_by_key(|(_, job)| urgency(&job.package))?;
        Some(self.jobs.swap_remove(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_it_ends_the_wait_for_packages_that_may_still_come() {
        let folder = tempfile::tempdir().unwrap();
        let (unpacker, mut packages) = Unpacker::<()>::start(folder.path(), UnpackLimits::default(), 2, Urgency::Soon);
        drop(packages.stopper());
        assert!(packages.next().is_none());
        drop(unpacker);
    }
}

//! Unpacking on all processors while the first packages are already being installed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use smolvm_fetch::VerifiedFile;
use smolvm_manifest::LockedPackage;

use crate::deb::plan::Wave;
use crate::deb::unpack::{UnpackError, UnpackLimits, UnpackedPackage, unpack};

/// A package to unpack.
#[derive(Debug, Clone)]
pub struct UnpackJob {
    /// What it must be.
    pub package: LockedPackage,
    /// Its archive.
    pub deb: VerifiedFile,
}

/// Unpacks packages on `workers` threads, those of the first wave first, and hands them over as they are done.
///
/// Dropping the receiver ends the work after the packages that are under way.
pub fn unpack_in_background(
    mut jobs: Vec<UnpackJob>,
    waves: &[Wave],
    scratch: &Path,
    limits: UnpackLimits,
    workers: usize,
) -> Receiver<Result<UnpackedPackage, UnpackError>> {
    let wave_of: HashMap<&str, usize> = waves
        .iter()
        .enumerate()
        .flat_map(|(number, wave)| wave.unpack.iter().map(move |name| (name.as_str(), number)))
        .collect();
    // Of a wave the largest first, so that no thread is left with one at the end. Jobs are taken from the back.
    jobs.sort_by_key(|job| {
        let wave = wave_of.get(job.package.name.as_str()).copied().unwrap_or(usize::MAX);
        (std::cmp::Reverse(wave), job.package.size)
    });
    let (sender, receiver) = sync_channel(jobs.len());
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..workers.max(1) {
        let (jobs, sender, scratch) = (Arc::clone(&jobs), sender.clone(), scratch.to_owned());
        std::thread::spawn(move || {
            let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(job) = next() {
                if sender.send(unpack(job.deb, &job.package, &scratch, &limits)).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

//! What resolving found out, for the next Smolfile of the same command.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smolvm_engine::SeenImage;
use smolvm_manifest::{Arch, Lock, LockedIndex};
use smolvm_packages::deb::in_release::IndexFile;
use smolvm_packages::deb::universe::Universe;

use crate::indexes::Suite;

/// What builds of one process share, so that the second one neither reads the same indexes nor answers the same question again.
///
/// The signed indexes are asked for and verified by every build; what is remembered counts while they are the same. It stays in
/// memory, about 40 MB for Debian and twice that for Ubuntu, until the last clone is dropped.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Remembered>>);

/// A base and a foreign kernel, of two distributions.
const MOST_UNIVERSES: usize = 4;

/// Some hundred kilobytes each.
const MOST_ANSWERS: usize = 64;

#[derive(Debug, Default)]
struct Remembered {
    answers: Vec<(Asked, Lock)>,
    universes: Vec<(Contents, Arc<Universe>)>,
}

/// All that decides a lock: with this version of smolvm, the same is always answered the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The manifest's part of it.
    pub(crate) question: String,
    /// The verified indexes, in the order in which they are read: those of the base, and those of a foreign kernel.
    pub(crate) own: Vec<LockedIndex>,
    pub(crate) foreign: Vec<LockedIndex>,
    /// What Docker's base is.
    pub(crate) base_image: Option<SeenImage>,
}

/// What makes a universe: files by their signed digests, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    arch: Arch,
    suites: Vec<(String, String, Vec<IndexFile>)>,
}

impl Contents {
    pub(crate) fn of(suites: &[Suite], arch: Arch) -> Self {
        let of = |Suite { release, files }: &Suite| (release.archive.clone(), release.suite.clone(), files.clone());
        Self { arch, suites: suites.iter().map(of).collect() }
    }
}

impl Memory {
    pub(crate) fn answer(&self, asked: &Asked) -> Option<Lock> {
        find(&self.lock().answers, asked)
    }

    pub(crate) fn remember_answer(&self, asked: Asked, lock: Lock) {
        push(&mut self.lock().answers, MOST_ANSWERS, (asked, lock));
    }

    pub(crate) fn universe(&self, contents: &Contents) -> Option<Arc<Universe>> {
        find(&self.lock().universes, contents)
    }

    pub(crate) fn remember_universe(&self, contents: Contents, universe: Arc<Universe>) {
        push(&mut self.lock().universes, MOST_UNIVERSES, (contents, universe));
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // Whoever panicked had added something or not: both are whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command has few Smolfiles: comparing them all takes no time.
fn find<K: PartialEq, V: Clone>(known: &[(K, V)], key: &K) -> Option<V> {
    known.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
}

/// Adds one; the oldest makes room.
fn push<T>(known: &mut Vec<T>, most: usize, new: T) {
    if known.len() >= most {
        known.remove(0);
    }
    known.push(new);
}

//! What a fetch tells while it is under way.

use std::sync::Arc;
use std::time::Duration;

/// One thing that happened. Addresses in it are without passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// Bytes begin to arrive.
    Started {
        /// The file.
        name: Arc<str>,
        /// Its size, where known.
        size: Option<u64>,
        /// Bytes that an earlier attempt left behind and that are not asked for again.
        resumed_from: u64,
        /// Where it comes from.
        mirror: String,
    },
    /// More bytes are in the cache.
    Progress {
        /// The file.
        name: Arc<str>,
        /// All bytes so far, the resumed ones among them.
        bytes: u64,
    },
    /// The file is there, whole and verified.
    Finished {
        /// The file.
        name: Arc<str>,
        /// Its size.
        bytes: u64,
        /// Whether it came from the download cache.
        cached: bool,
    },
    /// An attempt failed and another one follows at the same mirror.
    Retrying {
        /// The file.
        name: Arc<str>,
        /// Where it failed.
        mirror: String,
        /// Why.
        reason: String,
        /// How long until the next attempt.
        wait: Duration,
    },
    /// A mirror is given up and the next one is asked.
    NextMirror {
        /// The file.
        name: Arc<str>,
        /// The one that failed.
        mirror: String,
        /// Why.
        reason: String,
    },
    /// A mirror has something else under the path of a locked package. It was not used.
    Replaced {
        /// The package.
        name: Arc<str>,
        /// The mirror.
        mirror: String,
        /// What it sent.
        reason: String,
    },
    /// No mirror has a locked package any more: the snapshots are asked for it.
    Gone {
        /// The package.
        name: Arc<str>,
        /// Its version.
        version: String,
    },
    /// A file in the download cache was not what its name says. It was removed.
    DamagedCacheEntry {
        /// The file.
        name: Arc<str>,
    },
    /// Another process is downloading the same file; this one waits for it.
    Waiting {
        /// The file.
        name: Arc<str>,
    },
}

//! All HTTP of smolvm: asked of one mirror after the other, retried with backoff, resumed, verified while it streams in,
//! and kept in a download cache that every build shares.
//!
//! [`Fetcher::fetch`] is the only way by which the bytes of a package come into a build, and what it gives is a
//! [`VerifiedFile`]: an open file whose whole content matched before anybody could read the first byte of it.
//! [`Fetcher::fetch_index`] is for the signed indexes, whose digest nobody can know beforehand; the caller's check of the
//! signature decides whether what a mirror sent counts as an answer.
//!
//! # The download cache
//!
//! ```text
//! <cache>/
//!   sha256/ab/abcd…        a whole file under the hash of its content, 0444; hashed again on every use
//!   partial/abcd…          the beginning of that file, locked by whoever is writing to it; the next fetch goes on from here
//!   index/0123…            an index that passed the caller's check, under the hash of its address, for conditional requests
//!   made/4567…             what was made of downloads, under the hash of its name: the text of a compressed index; hashed on every use
//! ```
//!
//! Nothing in it is synced to disk: whatever a power cut leaves behind is found by its hash, removed and fetched again.
//! Everything in it can be deleted at any time.

mod address;
mod apt_sources;
mod body;
mod cache;
mod client;
mod config;
mod download;
mod error;
mod event;
mod fetcher;
mod index;
mod made;
mod mirrors;
mod partial;
mod retry;
mod snapshots;
mod verified;
mod wanted;

pub use address::{Address, AddressError};
pub use apt_sources::{AptSource, SourcesFormat, apt_sources};
pub use config::{Config, ConfigError};
pub use error::{FetchError, GonePackage, IndexError, MirrorFailure};
pub use event::FetchEvent;
pub use fetcher::{FetchOptions, Fetcher, Retries, Timeouts};
pub use made::Making;
pub use mirrors::{BuiltInArchive, Mirror, MirrorError, MirrorInputs, MirrorOrigin, Mirrors, mirror_variable};
pub use snapshots::{SnapshotAddress, SnapshotChoice, snapshot_variable};
pub use verified::{VerifiedFile, VerifyError};
pub use wanted::{Wanted, WantedError, WantedIndex, WantedPackage};

//! Why a file could not be had.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// Why a file could not be had. No variant holds a password, nor a library's error that could.
#[derive(Debug, Error, Diagnostic)]
pub enum FetchError {
    /// Every mirror says that there is no such file.
    #[error("no mirror has {name} (`{path}`){}", listed(failures))]
    #[diagnostic(
        code(smolvm::fetch::not_found),
        help(
            "the archive may have moved on since this version was locked: remove the lock to resolve again, or name a mirror that still has it"
        )
    )]
    NotFound {
        /// The file.
        name: String,
        /// Its path in the archive.
        path: String,
        /// What each mirror said.
        failures: Vec<MirrorFailure>,
    },
    /// A mirror sent something else, and no other mirror had the right thing.
    #[error("{name} (`{path}`) is not what was expected: {expected}{}", listed(failures))]
    #[diagnostic(
        code(smolvm::fetch::wrong_content),
        help("the mirror is damaged, in the middle of an update, or tampered with: try later, or name another mirror")
    )]
    WrongContent {
        /// The file.
        name: String,
        /// Its path in the archive.
        path: String,
        /// Size and digest that were asked for.
        expected: String,
        /// What each mirror said.
        failures: Vec<MirrorFailure>,
    },
    /// No mirror could be reached, or none of them managed to send it.
    #[error("could not download {name} (`{path}`){}", listed(failures))]
    #[diagnostic(
        code(smolvm::fetch::unavailable),
        help(
            "check the network, or name another mirror with `mirrors` in the configuration file or SMOLVM_MIRROR_<ARCHIVE>; what was received is kept and the next attempt goes on from there"
        )
    )]
    Unavailable {
        /// The file.
        name: String,
        /// Its path in the archive.
        path: String,
        /// What each mirror said.
        failures: Vec<MirrorFailure>,
    },
    /// It is not in the download cache, and the network must not be used.
    #[error("{name} is not in the download cache, and the network is not to be used")]
    #[diagnostic(code(smolvm::fetch::offline), help("build once without `--offline`, which fills the cache"))]
    Offline {
        /// The file.
        name: String,
    },
    /// Nobody said where it could come from.
    #[error("there is no mirror to fetch {name} from")]
    #[diagnostic(
        code(smolvm::fetch::no_mirror),
        help("name one with `mirrors` in the configuration file or SMOLVM_MIRROR_<ARCHIVE>")
    )]
    NoMirror {
        /// The file.
        name: String,
    },
    /// The disk that holds the download cache is full.
    #[error("no space left for {name} in the download cache {}", cache.display())]
    #[diagnostic(
        code(smolvm::fetch::disk_full),
        help("make room there, delete the folder (it is only a cache), or choose another one with SMOLVM_CACHE_DIR")
    )]
    DiskFull {
        /// The file.
        name: String,
        /// The download cache.
        cache: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The download cache cannot be read or written.
    #[error("the download cache {} cannot be used for {name}: {source}", cache.display())]
    #[diagnostic(
        code(smolvm::fetch::cache),
        help("make the folder writable for you, or choose another one with SMOLVM_CACHE_DIR")
    )]
    Cache {
        /// The file.
        name: String,
        /// The download cache.
        cache: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {reason}")]
    #[diagnostic(code(smolvm::fetch::client), help("check the proxy variables of the environment"))]
    Client {
        /// Why.
        reason: String,
    },
}

/// Why an index could not be had.
#[derive(Debug, Error, Diagnostic)]
pub enum IndexError<E: Diagnostic + 'static> {
    /// None arrived.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// One arrived, but the caller's check refused it, and no mirror had a better one.
    #[error("{name} from {mirror} was refused{}", listed(others))]
    #[diagnostic(code(smolvm::fetch::index_refused), help("try later, or name another mirror"))]
    Refused {
        /// The index.
        name: String,
        /// The first mirror whose index was refused.
        mirror: String,
        /// What the other mirrors said.
        others: Vec<MirrorFailure>,
        /// Why it was refused.
        #[source]
        #[diagnostic_source]
        refusal: E,
    },
}

/// What one mirror said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorFailure {
    /// The mirror's address, without a password.
    pub mirror: String,
    /// Why its last attempt failed.
    pub reason: String,
    /// How often it was asked.
    pub attempts: u32,
}

impl FetchError {
    /// Whether the archive no longer has the file, so that another archive (or another version) is to be looked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether this machine lacks something (exit code 3), rather than the network or the mirror.
    pub fn is_host_fault(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Cache { .. } | Self::Client { .. })
    }

    /// What the system said about the download cache, by kind.
    pub(crate) fn of_cache(name: &str, cache: &Path, source: io::Error) -> Self {
        let (name, cache) = (name.to_owned(), cache.to_owned());
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull { name, cache, source }
        } else {
            Self::Cache { name, cache, source }
        }
    }
}

fn listed(failures: &[MirrorFailure]) -> String {
    let mut text = String::new();
    for MirrorFailure { mirror, reason, attempts } in failures {
        let _ = write!(text, "\n  {mirror}: {reason}");
        if *attempts > 1 {
            let _ = write!(text, " (asked {attempts} times)");
        }
    }
    text
}

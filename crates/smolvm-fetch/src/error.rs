//! Why a file could not be had.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use crate::snapshots::snapshot_variable;
use crate::verified::VerifyError;
use crate::wanted::WantedPackage;

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
    /// A locked package is nowhere any more: neither at a mirror nor in a snapshot archive. Another version is no answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Gone(Box<GonePackage>),
    /// The folder that alone is to be taken from lacks it.
    #[error("{name} is not in `{}`{}", folder.display(), listed_place(place.as_deref()))]
    #[diagnostic(code(smolvm::fetch::not_vendored), help("run `smolvm vendor {}` with this lock where a mirror can be reached; nothing else is asked instead", folder.display()))]
    NotVendored {
        /// The file.
        name: String,
        /// The folder.
        folder: PathBuf,
        /// Where it would be in it; nothing for what no such folder holds.
        place: Option<String>,
    },
    /// What lies in the folder that alone is to be taken from is something else, or cannot be read.
    #[error("{name} in `{}` cannot be used: {source}", folder.display())]
    #[diagnostic(code(smolvm::fetch::vendored_damaged), help("run `smolvm vendor {}` with this lock where a mirror can be reached: it puts the right file there; nothing else is asked instead", folder.display()))]
    VendoredDamaged {
        /// The file.
        name: String,
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        source: Box<VerifyError>,
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

/// A locked package that no place has any more.
#[derive(Debug, Error, Diagnostic)]
#[error(
    "{name} {version} of `{archive}`, which the lock names, is gone: none of these has its {expected} as `{path}`{}",
    listed(failures)
)]
#[diagnostic(code(smolvm::fetch::gone))]
pub struct GonePackage {
    /// The package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The archive's name.
    pub archive: String,
    /// Its path in the archive.
    pub path: String,
    /// Size and digest that the lock says.
    pub expected: String,
    /// What each mirror said, and then each snapshot.
    pub failures: Vec<MirrorFailure>,
    #[help]
    help: String,
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

    /// A locked package that no place has.
    pub(crate) fn gone(
        name: &str,
        path: &str,
        package: &WantedPackage,
        expected: String,
        failures: Vec<MirrorFailure>,
    ) -> Self {
        let WantedPackage { version, archive } = package.clone();
        let variable = snapshot_variable(&archive);
        let help = format!(
            "a lock never falls back to another version. To take the version of today: `smolvm lock --update {name}`, or \
             `smolvm lock --update` for all packages. To keep this one: name an archive that has it with {variable} (or \
             `snapshots` in the configuration file), or build with `--mirror-dir` from a folder that `smolvm vendor` filled. A mirror that \
             is in the middle of an update may have it later"
        );
        let (name, path) = (name.to_owned(), path.to_owned());
        Self::Gone(Box::new(GonePackage { name, version, archive, path, expected, failures, help }))
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

fn listed_place(place: Option<&str>) -> String {
    place.map(|place| format!(" (`{place}`)")).unwrap_or_default()
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

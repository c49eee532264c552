//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// What can go wrong with a store.
#[derive(Debug, Error, Diagnostic)]
pub enum StoreError {
    /// It was made by another version of smolvm.
    #[error("the image store {} has the format `{found}`, and this smolvm knows `{known}`", root.display())]
    #[diagnostic(code(smolvm::store::version), help("use the smolvm that made it, or another folder with --image-dir"))]
    Version {
        /// The store.
        root: PathBuf,
        /// What its VERSION says.
        found: String,
        /// What this code reads.
        known: String,
    },
    /// It is a folder of something else.
    #[error("{} is no image store: it has no file VERSION, but other things, such as `{stranger}`", root.display())]
    #[diagnostic(
        code(smolvm::store::not_a_store),
        help("name a folder that is new or empty with --image-dir; nothing in this one was touched")
    )]
    NotAStore {
        /// The folder.
        root: PathBuf,
        /// One of the things in it.
        stranger: String,
    },
    /// The disk is full.
    #[error("no space left in the image store {}", root.display())]
    #[diagnostic(
        code(smolvm::store::disk_full),
        help("make room (`smolvm image ls`, `smolvm image rm NAME`), or choose another disk with --image-dir")
    )]
    DiskFull {
        /// The store.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error("the image store {} cannot be used: {error}", root.display())]
    #[diagnostic(
        code(smolvm::store::unusable),
        help("make the folder readable and writable for you, or choose another one with --image-dir")
    )]
    Unusable {
        /// The store.
        root: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The name is none.
    #[error("`{name}` cannot be the name of an image")]
    #[diagnostic(
        code(smolvm::store::bad_name),
        help("a name begins with a letter or digit and goes on with a-z, 0-9, `.`, `_` and `-`, 128 at most")
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// Neither a name nor the beginning of a key fits.
    #[error("there is no image `{asked}`")]
    #[diagnostic(code(smolvm::store::no_such_image), help("{}", suggestion(similar)))]
    NoSuchImage {
        /// What was given.
        asked: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// Several keys begin like this.
    #[error("`{asked}` is the beginning of {} keys: {}", candidates.len(), candidates.join(", "))]
    #[diagnostic(code(smolvm::store::ambiguous), help("give more of its digits"))]
    Ambiguous {
        /// What was given.
        asked: String,
        /// The keys, with their names.
        candidates: Vec<String>,
    },
    /// The image is not whole.
    #[error("the image `{asked}` is damaged: {damage}")]
    #[diagnostic(
        code(smolvm::store::damaged),
        help("build it again, which replaces it, or remove it with `smolvm image rm {asked}`")
    )]
    Damaged {
        /// What was given.
        asked: String,
        /// What is wrong with it.
        damage: String,
    },
    /// It cannot be removed now.
    #[error("the image `{asked}` is in use: {user}")]
    #[diagnostic(code(smolvm::store::in_use), help("try again when that has ended"))]
    InUse {
        /// What was given.
        asked: String,
        /// By whom.
        user: String,
    },
    /// What was staged is not what the record says. This is a mistake of smolvm, not of whoever uses it.
    #[error("the image that was put together is not whole: {damage}")]
    #[diagnostic(
        code(smolvm::store::incomplete),
        help("build again; if it stays like this, report it as a bug of smolvm")
    )]
    Incomplete {
        /// What is wrong.
        damage: String,
    },
}

impl StoreError {
    /// Whether this machine lacks something (exit code 3).
    pub fn is_host_fault(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Unusable { .. } | Self::Version { .. })
    }

    /// Whether what was asked for is wrong (exit code 2).
    pub fn is_input_fault(&self) -> bool {
        matches!(
            self,
            Self::NotAStore { .. } | Self::BadName { .. } | Self::NoSuchImage { .. } | Self::Ambiguous { .. }
        )
    }

    /// What the system said, by kind.
    pub(crate) fn of(root: &Path, source: io::Error) -> Self {
        let root = root.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull { root, source }
        } else {
            Self::Unusable { root, error: source }
        }
    }
}

fn suggestion(similar: &[String]) -> String {
    match similar {
        [] => "`smolvm image ls` shows those that there are".to_owned(),
        names => {
            format!("did you mean {}?", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "))
        }
    }
}

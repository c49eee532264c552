//! What can be wrong with a package.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::deb::control::ControlError;

/// A package that could not be unpacked.
#[derive(Debug, Error, Diagnostic)]
#[error("the package {package} cannot be unpacked: {problem}")]
#[diagnostic(forward(problem))]
pub struct UnpackError {
    /// Its name.
    pub package: String,
    /// Why not.
    pub problem: UnpackProblem,
}

/// Why a package could not be unpacked.
#[derive(Debug, Error, Diagnostic)]
pub enum UnpackProblem {
    /// The archive is no .deb, or cut, or damaged.
    #[error("{reason}")]
    #[diagnostic(
        code(smolvm::deb::damaged),
        help("the archive publishes it like this: take another version, or tell its publisher")
    )]
    Damaged {
        /// What was found.
        reason: String,
    },

    /// It is another package than the one that was locked.
    #[error("it holds {found}, and should hold {expected}")]
    #[diagnostic(code(smolvm::deb::other_package), help("the archive's index is wrong about it: tell its publisher"))]
    OtherPackage {
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },

    /// Its control file is unusable.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Control(#[from] ControlError),

    /// An entry that no package may have.
    #[error("its entry `{entry}` {reason}")]
    #[diagnostic(
        code(smolvm::deb::refused_entry),
        help("such a package is broken or hostile, and is not installed; take another version, or tell its publisher")
    )]
    Refused {
        /// The entry's name, as far as it can be shown.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },

    /// It holds more than a package may.
    #[error("it holds {what}")]
    #[diagnostic(
        code(smolvm::deb::too_large),
        help("no real package does: it is broken or hostile, and is not installed")
    )]
    TooLarge {
        /// What there is too much of.
        what: String,
    },

    /// The scratch folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    #[diagnostic(code(smolvm::deb::write), help("check the space left on the store's disk: `df -h ~/.smolvm`"))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl UnpackProblem {
    /// For errors while reading the archive.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(super) fn damaged(error: io::Error) -> Self {
        Self::Damaged { reason: error.to_string() }
    }

    /// For an entry that is refused.
    pub(super) fn refused(entry: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut entry = entry.into();
        // A name made to be endless must not fill the terminal.
        if let Some((end, _)) = entry.char_indices().nth(200) {
            entry.truncate(end);
            entry.push('…');
        }
        Self::Refused { entry, reason: reason.into() }
    }
}

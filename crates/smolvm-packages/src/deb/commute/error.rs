//! Why packages are not added to those that are there.

use smolvm_sandbox::SandboxError;
use thiserror::Error;

use crate::deb::database::TriggerError;

/// Why packages are not added to those that are there. It is no failure: all are installed together then.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It has a script, or something else that is acted on.
    #[error("{package} has a {file}")]
    ControlFile {
        /// The package.
        package: String,
        /// The file of its control member: `postinst`.
        file: String,
    },
    /// It is interested in triggers, so in what comes before and after it.
    #[error("{package} waits for triggers")]
    Waits {
        /// The package.
        package: String,
    },
    /// All others may rely on it without saying so.
    #[error("{package} is essential")]
    Essential {
        /// The package.
        package: String,
    },
    /// It wants others configured before it is unpacked.
    #[error("{package} has Pre-Depends")]
    PreDepends {
        /// The package.
        package: String,
    },
    /// With them, the others are installed in another order.
    #[error("the other packages are installed in another order with them")]
    Order,
    /// It sets off a trigger that does something.
    #[error("{package} sets off {trigger}, for which {other} waits")]
    Trigger {
        /// The package.
        package: String,
        /// The trigger: a name, or the path that is watched.
        trigger: String,
        /// The package that waits.
        other: String,
    },
    /// It brings a library and does not call ldconfig.
    #[error("{package} brings /{path} and does not call ldconfig")]
    Library {
        /// The package.
        package: String,
        /// The library, relative to the root.
        path: String,
    },
    /// Something about a path that it brings.
    #[error("{package} brings /{path}, which {reason}")]
    Path {
        /// The package.
        package: String,
        /// The path, relative to the root.
        path: String,
        /// What is in the way.
        reason: &'static str,
    },
    /// A script of another package may look at anything.
    #[error("nobody has read {script}, which may look at what is there")]
    Unread {
        /// The script: `munin-node.postinst`.
        script: String,
    },
    /// A script of another package may look whether it is there.
    #[error("{script} speaks of {word}, which {package} brings")]
    Script {
        /// The script: `openssh-server.postinst`.
        script: String,
        /// A program or folder.
        word: String,
        /// The package.
        package: String,
    },
    /// Its `triggers` file cannot be followed.
    #[error(transparent)]
    Triggers(#[from] TriggerError),
    /// The image's database cannot be read.
    #[error(transparent)]
    Database(#[from] SandboxError),
}

//! Why an engine could not build.

use miette::Diagnostic;
use smolvm_fetch::{FetchError, WantedError};
use smolvm_manifest::Manifest;
use smolvm_packages::deb::install::InstallError;
use smolvm_packages::deb::unpack::UnpackError;
use smolvm_rootfs::TreeError;
use smolvm_sandbox::{CommandStatus, SandboxError};
use smolvm_store::StoreError;
use thiserror::Error;

use crate::docker::DockerError;
use crate::edit::{AccountError, EditError};
use crate::guest::CannotBoot;

/// Why an engine could not build.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum EngineError {
    /// A package could not be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// A package could not be unpacked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unpack(#[from] UnpackError),
    /// A package could not be installed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Install(#[from] InstallError),
    /// The sandbox.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sandbox(#[from] SandboxError),
    /// Docker.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Docker(#[from] DockerError),
    /// A user or file could not be put into the tree.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Edit(#[from] EditError),
    /// An account that a step names.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Account(#[from] AccountError),
    /// A run step that ended with an error.
    #[error("run[{index}] failed with {status}:\n  {command}\n{}", printed(output))]
    #[diagnostic(
        code(smolvm::engine::step_failed),
        help("the step runs as `/bin/sh -ec`, in the image, with its own `env`; `smolvm render` shows every step")
    )]
    StepFailed {
        /// Which one.
        index: usize,
        /// Its command.
        command: String,
        /// How it ended.
        status: CommandStatus,
        /// The end of its output, secrets blotted out.
        output: String,
    },
    /// A run step that did not even begin.
    #[error("run[{index}] did not start: {reason}\n  {command}")]
    #[diagnostic(
        code(smolvm::engine::step_not_started),
        help(
            "its `workdir` must be there when its turn comes (`mkdir -p` in a step before it makes one), and so must /bin/sh, which an \
             earlier step may have removed"
        )
    )]
    StepNotStarted {
        /// Which one.
        index: usize,
        /// Its command.
        command: String,
        /// What could not be done.
        reason: String,
    },
    /// A run step after which nobody could log in, and many programs would not start.
    #[error("after run[{index}], `/etc/passwd` no longer has the user `root` with uid 0:\n  {command}")]
    #[diagnostic(
        code(smolvm::engine::root_removed),
        help("leave `root` in `/etc/passwd`; users are made with `users`, or with `useradd` in a step")
    )]
    StepRemovedRoot {
        /// Which one.
        index: usize,
        /// Its command.
        command: String,
    },
    /// A tree that no `/init` can run in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    CannotBoot(#[from] CannotBoot),
    /// A lock that names an impossible path or digest.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Wanted(#[from] WantedError),
    /// The tree refused a path.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tree(#[from] TreeError),
    /// A part of smolvm ended in a panic.
    #[error("smolvm itself failed: {0}")]
    #[diagnostic(code(smolvm::engine::defect), help("this is a defect of smolvm; please report it with the Smolfile"))]
    Defect(#[from] tokio::task::JoinError),
    /// The store, in which layers are kept.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The scratch folder.
    #[error("cannot work in the scratch folder: {0}")]
    #[diagnostic(code(smolvm::engine::scratch))]
    Scratch(#[from] std::io::Error),
}

impl EngineError {
    /// The part of the Smolfile that this is about, as a JSON pointer.
    pub fn pointer(&self, manifest: &Manifest) -> Option<String> {
        match self {
            Self::StepFailed { index, .. }
            | Self::StepNotStarted { index, .. }
            | Self::StepRemovedRoot { index, .. } => Some(format!("/run/{index}")),
            Self::Docker(error) => error.pointer(),
            Self::Edit(EditError::Account(error)) => error.pointer(manifest),
            Self::Edit(EditError::File(error)) => error.pointer(manifest),
            _ => None,
        }
    }
}

/// What a failed step printed at last, for a report.
pub(crate) fn printed(output: &str) -> String {
    if output.trim().is_empty() { "It printed nothing.".to_owned() } else { format!("Its last lines were:\n{output}") }
}

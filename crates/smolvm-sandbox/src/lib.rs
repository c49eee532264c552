//! Namespaces in which maintainer scripts and run steps see the image and nothing of the host.
//!
//! [`start`] makes a [`Session`]: one agent process, PID 1 of fresh namespaces, that places files below
//! `<scratch>/root`, runs commands with that folder as their root, and walks it into a
//! [`RootTree`](smolvm_rootfs::RootTree). The agent ends, and kills everything inside, as soon as the session is
//! dropped or its process dies, however it dies.
//!
//! This is the only crate of the workspace with `unsafe` code, and all of it is in `sys.rs`.

mod agent;
mod error;
mod host;
mod idmap;
mod memory;
mod options;
mod remove;
mod session;
mod sys;
mod wire;

pub use error::SandboxError;
pub use host::Identity;
pub use memory::{MemoryFolder, ON_DISK};
pub use options::{
    CommandStatus, CommandUser, MountedFile, Network, PlaceOp, SandboxCommand, SandboxOptions, ScratchPath, SecretFile,
};
pub use remove::remove_tree;
pub use session::{Canceller, Session, check_host, start};

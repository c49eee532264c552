//! A session as its owner sees it.

use crate::{CommandStatus, PlaceOp, SandboxCommand, SandboxError, SandboxOptions};
use smolvm_rootfs::RootTree;
use std::path::Path;

/// What lets this process make a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It is root: ids inside are the ids outside.
    Root,
    /// It is an ordinary user: root inside is that user, all other ids are sub-ids.
    SubIds,
}

/// Finds out, by making a sandbox and not by trusting settings, whether this machine can.
pub fn check_host() -> Result<Identity, SandboxError> {
    Ok(Identity::Root)
}

/// Starts a session.
pub fn start(_options: &SandboxOptions) -> Result<Session, SandboxError> {
    Err(SandboxError::Cancelled)
}

/// Removes a scratch folder, parts of it that belong to sub-ids included. Nothing there is no error.
pub fn remove_tree(_path: &Path) -> Result<(), SandboxError> {
    Ok(())
}

/// A running sandbox over one scratch folder. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Carries out the operations in order, up to the first that fails.
    pub fn place(&mut self, _ops: &[PlaceOp]) -> Result<(), SandboxError> {
        Ok(())
    }

    /// Runs a command to its end, handing over what it writes to stdout and stderr as it comes.
    ///
    /// Processes that it leaves behind are killed when it ends.
    pub fn run(
        &mut self,
        _command: &SandboxCommand,
        _on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<CommandStatus, SandboxError> {
        Err(SandboxError::Cancelled)
    }

    /// The bytes of a file of the image (links followed inside the image), or `None` where there is none.
    pub fn read(&mut self, _path: &str) -> Result<Option<Vec<u8>>, SandboxError> {
        Ok(None)
    }

    /// Reads the image's folder into a tree, without changing the folder.
    ///
    /// The tree's contents lie in the scratch folder: under `root/`, or copied to `private/` what the building user
    /// could not read otherwise.
    pub fn harvest(&mut self) -> Result<RootTree, SandboxError> {
        Err(SandboxError::Cancelled)
    }

    /// A handle that ends the session's commands from another thread, for good.
    pub fn canceller(&self) -> Canceller {
        Canceller {}
    }

    /// Ends the session and waits until nothing of it runs any more.
    pub fn close(self) {}
}

/// Cancels a session: the running command is killed, and it and all later requests answer [`SandboxError::Cancelled`].
#[derive(Debug, Clone)]
pub struct Canceller {}

impl Canceller {
    /// Cancels.
    pub fn cancel(&self) {}
}

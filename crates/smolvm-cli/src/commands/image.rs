//! `smolvm image`.

mod inspect;
mod ls;
mod prune;
mod rm;
mod verify;

use clap::Subcommand;
use smolvm_store::StoreError;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;

/// List, inspect, verify and remove images
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(ls::Arguments),
    Inspect(inspect::Arguments),
    Rm(rm::Arguments),
    Prune(prune::Arguments),
    Verify(verify::Arguments),
}

impl Command {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ls(_) => "image ls",
            Self::Inspect(_) => "image inspect",
            Self::Rm(_) => "image rm",
            Self::Prune(_) => "image prune",
            Self::Verify(_) => "image verify",
        }
    }

    pub(super) const fn json(&self) -> bool {
        match self {
            Self::Ls(arguments) => arguments.output.json,
            Self::Inspect(arguments) => arguments.output.json,
            Self::Rm(arguments) => arguments.output.json,
            Self::Prune(arguments) => arguments.output.json,
            Self::Verify(arguments) => arguments.output.json,
        }
    }

    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        match self {
            Self::Ls(arguments) => arguments.execute(),
            Self::Inspect(arguments) => arguments.execute(),
            Self::Rm(arguments) => arguments.execute(),
            Self::Prune(arguments) => arguments.execute(),
            Self::Verify(arguments) => arguments.execute(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = if error.is_host_fault() {
            Exit::Host
        } else if error.is_input_fault() {
            Exit::Input
        } else {
            Exit::Failed
        };
        Self::new(exit, error)
    }
}

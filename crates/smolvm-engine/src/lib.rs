//! Engines turn a recipe into a root tree: the embedded engine does it by itself, in a sandbox.

mod edit;
mod embedded;
mod error;
mod events;
mod job;
mod volatile;

pub use edit::{AccountError, EditError, FileError};
pub use embedded::EmbeddedEngine;
pub use error::EngineError;
pub use events::{Event, Events, Stage};
pub use job::{Engine, Job, ScratchFolder, StepSurroundings};

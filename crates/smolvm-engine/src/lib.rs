//! Engines turn a recipe into a root tree: the embedded engine does it by itself, in a sandbox; the Docker engine has a daemon do it.

mod docker;
mod edit;
mod embedded;
mod error;
mod events;
mod finish;
mod guest;
mod job;
mod layers;
mod output;
mod volatile;

pub use docker::{DockerEngine, DockerError, DockerFault, DockerPlaces, SeenImage};
pub use edit::{AccountError, EditError, FileError};
pub use embedded::EmbeddedEngine;
pub use error::EngineError;
pub use events::{Event, Events, Stage};
pub use guest::CannotBoot;
pub use job::{Built, Engine, Job, ScratchFolder, StepSurroundings};
pub use layers::{Cached, Layers, Smaller};

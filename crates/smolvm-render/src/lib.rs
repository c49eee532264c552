//! A locked manifest becomes typed steps, a Dockerfile and an init script.
//!
//! This crate is pure: no file, network, environment or clock. Both engines consume [`Recipe::steps`]; the Dockerfile is
//! Docker's spelling of the same steps. Everything that a user wrote passes a quoting filter before it stands in a script.

mod archives;
mod context;
mod dockerfile;
mod error;
mod foundation;
mod identity;
mod init;
mod quote;
mod recipe;
mod services;
mod ssh;
mod step;
mod templates;
mod text;

pub use archives::{PublicArchive, public_archives};
pub use context::{PlannedContent, PlannedFile};
pub use error::RenderError;
pub use identity::DISK;
pub use quote::shell as shell_word;
pub use recipe::{Recipe, render};
pub use step::{Content, FileStep, Step};
pub use templates::digest;

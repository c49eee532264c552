//! Smolfile.yaml and Smolfile.lock: types, spans, validation, JSON schema, build key.
//!
//! This crate takes text and returns values. It reads no file, no environment and no clock: what it needs to know of the
//! world it asks through [`Surroundings`].
//!
//! [`load`] is where to begin: text → values with places (`yaml`) → checked against the schema (`validate`) →
//! as written (`written`) → what it means (`meaning`) → [`Manifest`].

mod base;
mod document;
mod finding;
mod inputs;
mod key;
mod keys;
mod load;
mod lock;
mod manifest;
mod meaning;
mod password;
mod prune;
mod report;
mod schema;
mod secret;
mod shown;
mod size;
mod starter;
mod suggest;
mod surroundings;
mod validate;
mod written;
mod yaml;

pub use base::{Base, Distro, Family};
pub use document::Document;
pub use inputs::{Fields, InputChange, Inputs, Layer, LayerInputs};
pub use key::{BuildKey, NotABuildKey, question};
pub use load::{Loaded, load, load_bytes};
pub use lock::{
    ImageTools, KernelFile, Lock, LockChange, LockError, LockFile, LockedImage, LockedIndex, LockedKernel,
    LockedManifest, LockedPackage, PackageLayer, PackagedKernel, StaleLock,
};
pub use manifest::{
    Arch, FileContent, FileEntry, KernelChoice, LocalEntry, LocalKind, LocalSource, Manifest, Modules, Owner,
    PackageRequest, Repository, Restart, RunStep, Service, Size, Ssh, Tmp, User,
};
pub use meaning::image_name_from;
pub use report::{ManifestErrors, Mistake, Warning};
pub use schema::{lock_schema, lock_schema_text, schema, schema_text};
pub use secret::{Secret, SecretSource};
pub use starter::starter;
pub use suggest::nearest;
pub use surroundings::{LocalSourceError, Surroundings};

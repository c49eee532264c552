//! Smolfile.yaml and Smolfile.lock: types, spans, validation, JSON schema, build key.
//!
//! This crate takes text and returns values. It reads no file, no environment and no clock.

mod base;
mod document;
mod lock;
mod manifest;
mod secret;

pub use base::{Base, Distro, Family};
pub use document::Document;
pub use lock::{KernelSource, Lock, LockedIndex, LockedKernel, LockedManifest, LockedPackage, PackageLayer};
pub use manifest::{
    Arch, FileContent, FileEntry, KernelChoice, LocalEntry, LocalKind, LocalSource, Manifest, Modules, Owner,
    PackageRequest, Repository, Restart, RunStep, Service, Size, Ssh, Tmp, User,
};
pub use secret::{Secret, SecretSource};

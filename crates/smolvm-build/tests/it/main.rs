//! Whole builds through the library, against the mirror that the host's apt is configured with and mirrors of our own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod alpine;
mod archive;
mod disk_full;
mod docker;
mod hostile_packages;
mod kernels;
mod layers;
mod locks;
mod mirror;
mod mirror_faults;
mod mmdebstrap;
mod resolving;
mod scratch;
mod scripts;
mod secrets;
mod support;
mod trees;
mod ubuntu;
mod vendored;

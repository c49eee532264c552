//! Tests of the whole crate: one helper makes manifests, and snapshots show what becomes of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail a test as tests do")]

mod dockerfile;
mod fixture;
mod functions;
mod guest;
mod plan;
mod refused;
mod services;
mod shell;
mod snapshots;

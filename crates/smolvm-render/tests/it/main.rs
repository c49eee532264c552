//! Tests of the whole crate: one helper makes manifests, and snapshots show what becomes of them.

mod fixture;
mod snapshots;

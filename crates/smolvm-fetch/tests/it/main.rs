//! The fetcher against mirrors that misbehave in every way that mirrors do.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cache;
mod concurrent;
mod disk_full;
mod faults;
mod index;
mod resume;
mod secrets;
mod server;
mod snapshots;
mod support;

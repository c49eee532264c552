//! The store as its users see it: through its API, from several processes, and after the worst has happened.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod commit;
mod disk_full;
mod find;
mod kill;
mod layers;
mod lookup;
mod remove;
mod scratch;
mod support;

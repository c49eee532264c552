//! Tests of what lies beside the crates.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod kernel;

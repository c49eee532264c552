//! The sandbox against the real kernel.

//! Real images from real packages: built, booted, and looked at from inside.
//!
//! The tests of one run share one store, so that the image they boot is built once (and the store's locks are put to work).
//! They need the host's apt mirror, QEMU and ssh. Where one is missing they say so and pass, but never in CI.

mod compared;
mod examples;
mod guest;
mod host;
mod init;
mod layers;
mod machine;
mod plain_user;
mod reads;
mod same_bytes;
mod shared;
mod surroundings;
mod vmm;

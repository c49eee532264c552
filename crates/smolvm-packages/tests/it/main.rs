//! Tests that need more than this crate: the host's apt and its mirror, or dpkg. Each says why if it is skipped.

mod agreement;
mod host_apt;
mod install;
mod kernel_boot;
mod mirror;
mod speed;
mod versions;

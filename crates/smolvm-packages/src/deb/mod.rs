//! The deb world: Debian and Ubuntu.

mod ar;
pub mod commute;
pub mod control;
mod database;
pub(crate) mod date;
pub mod dependency;
mod diversions;
pub mod in_release;
pub mod index;
pub mod install;
pub mod kernel_choice;
pub mod openpgp;
pub mod place;
pub mod plan;
pub mod release;
pub mod resolve;
pub mod universe;
pub mod unpack;
pub mod version;

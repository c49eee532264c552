//! The deb world: Debian and Ubuntu.

pub(crate) mod date;
pub mod in_release;
pub mod openpgp;
pub mod release;

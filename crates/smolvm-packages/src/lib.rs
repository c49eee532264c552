//! The distribution worlds: indexes, signatures, versions, resolving, unpacking, configuring.

pub mod deb;
pub mod kernel;
#[cfg(any(test, feature = "test-support"))]
pub mod test_archive;
#[cfg(any(test, feature = "test-support"))]
pub mod test_deb;
#[cfg(any(test, feature = "test-support"))]
pub mod test_key;

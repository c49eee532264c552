//! The distribution worlds: indexes, signatures, versions, resolving, unpacking, configuring.

pub mod deb;
#[cfg(any(test, feature = "test-support"))]
pub mod test_archive;
#[cfg(any(test, feature = "test-support"))]
pub mod test_key;

//! The distribution worlds: indexes, signatures, versions, resolving, unpacking, configuring.

//! Words for a POSIX shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The word in quotes that keep it as it is.
pub(crate) fn quoted(word: impl AsRef<OsStr>) -> OsString {
    let mut text = vec![b'\''];
    for &byte in word.as_ref().as_bytes() {
        match byte {
            b'\'' => text.extend_from_slice(br"'\''"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
    OsString::from_vec(text)
}

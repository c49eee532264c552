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

/// The word as a person would write it: in quotes where a shell would take it apart.
pub(crate) fn written(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stand_where_they_are_needed() {
        for (word, expected) in [
            ("-m", "-m"),
            ("file=/a,b", "file=/a,b"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
            ("ü", "'ü'"),
        ] {
            assert_eq!(written(word), expected);
        }
    }
}

//! The key of an image.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The blake3 of everything that decides an image's bytes: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildKey(String);

/// Text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a build key is 64 hexadecimal digits")]
pub struct BadKey;

impl BuildKey {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BuildKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) { Ok(Self(text.to_owned())) } else { Err(BadKey) }
    }
}

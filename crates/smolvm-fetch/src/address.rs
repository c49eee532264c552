//! Addresses that can hold a password and never show it.

use std::fmt;
use std::str::FromStr;

use miette::Diagnostic;
use thiserror::Error;
use url::Url;

/// An `http` or `https` address. What it shows (`Display`, `Debug`) is without user name, password and query, each of
/// which can be a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Without user name and password, so that no library which is handed it can log them.
    url: Url,
    credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum AddressError {
    /// It cannot be read as an address at all.
    #[error("`{shown}` is not an address: {reason}")]
    #[diagnostic(code(smolvm::fetch::address), help("write it like `http://mirror.example.org/debian`"))]
    Malformed {
        /// The text, without a password.
        shown: String,
        /// Why.
        reason: String,
    },
    /// It is of a kind that is not served here.
    #[error("`{shown}` begins with `{scheme}:`, which smolvm cannot fetch from")]
    #[diagnostic(code(smolvm::fetch::address), help("use an address that begins with `http://` or `https://`"))]
    Scheme {
        /// The text, without a password.
        shown: String,
        /// What it begins with.
        scheme: String,
    },
    /// It has a `?…` or `#…` part, to which no path can be added.
    #[error("`{shown}` has a `?` or `#` part, which the address of a mirror cannot have")]
    #[diagnostic(code(smolvm::fetch::address), help("give the folder that holds `dists` and `pool`"))]
    NotAFolder {
        /// The text, without a password.
        shown: String,
    },
}

impl Address {
    /// The address of one file below this one. Each part of `path` is taken literally; `.` and `..` have no meaning there
    /// and are refused by [`crate::Wanted`].
    pub(crate) fn join(&self, path: &str) -> Self {
        let mut joined = self.clone();
        if path.is_empty() {
            return joined;
        }
        if let Ok(mut segments) = joined.url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/').filter(|part| !part.is_empty()));
        }
        joined
    }

    /// As a program in a build may be told it: without credentials, which would stay in a layer.
    pub fn plain(&self) -> String {
        self.url.to_string()
    }

    /// Whether a path can be added to it.
    pub(crate) fn is_folder(&self) -> bool {
        self.url.query().is_none() && self.url.fragment().is_none()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Scheme, host and port: what is down when a machine is down.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let shown = || hide_credentials(text);
        let mut url =
            Url::parse(text).map_err(|error| AddressError::Malformed { shown: shown(), reason: error.to_string() })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme { shown: shown(), scheme: url.scheme().to_owned() });
        }
        let decode = |text: &str| percent_decode(text);
        let credentials = (!url.username().is_empty() || url.password().is_some())
            .then(|| Credentials { user: decode(url.username()), password: url.password().map(decode) });
        // These two fail only for addresses without a host, which http and https always have.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { url, credentials })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.url.scheme())?;
        if self.credentials.is_some() {
            f.write_str("***@")?;
        }
        f.write_str(self.url.host_str().unwrap_or_default())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path().trim_end_matches('/'))?;
        if self.url.query().is_some() { f.write_str("?***") } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// `text` with whatever stands between `//` and `@` starred out, byte for byte, so that positions in it stay what they were.
pub(crate) fn hide_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("//") {
        let (before, after) = rest.split_at(start + 2);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?' | '#'));
        let authority = &after[..end.unwrap_or(after.len())];
        let hidden = authority.rfind('@').unwrap_or(0);
        shown.extend(std::iter::repeat_n('*', hidden));
        rest = &after[hidden..];
    }
    shown.push_str(rest);
    shown
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = digits.and_then(|pair| hex::decode(pair).ok()) {
            decoded.extend(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_but_never_shown() {
        let address: Address = "http://me:s3cr%40t@mirror.example.org:8080/debian/?token=canary".parse().unwrap();
        assert_eq!(address.to_string(), "http://***@mirror.example.org:8080/debian?***");
        assert_eq!(format!("{address:?}"), "Address(http://***@mirror.example.org:8080/debian?***)");
        assert_eq!(address.credentials().unwrap().password.as_deref(), Some("s3cr@t"));
        assert!(!address.url().as_str().contains("s3cr"));
    }

    #[test]
    fn an_address_that_is_refused_does_not_show_its_password_either() {
        for text in ["ftp://me:canary@host/debian", "http://me:canary@[bad/debian", "http://me:can#ary@:x/"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn paths_are_taken_literally() {
        let base: Address = "http://host/debian/".parse().unwrap();
        assert_eq!(base.join("pool/g++_1%3a2~b+c.deb").url().as_str(), "http://host/debian/pool/g++_1%253a2~b+c.deb");
        assert_eq!(base.join("").url().as_str(), "http://host/debian/");
    }

    #[test]
    fn hiding_keeps_every_position() {
        let text = "a: [\"http://u:p@h/x\", 'https://h/@y'] # http://k@h";
        let hidden = hide_credentials(text);
        assert_eq!(hidden, "a: [\"http://***@h/x\", 'https://h/@y'] # http://*@h");
        assert_eq!(hidden.len(), text.len());
    }
}

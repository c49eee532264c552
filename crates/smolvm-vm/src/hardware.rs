//! What a machine is made of, besides the image.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::str::FromStr;

/// Memory and processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// MiB of memory.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u32,
}

/// A TCP port of this machine that leads to one of the guest's: `[ADDRESS:]PORT:GUEST_PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Where this machine listens; the loopback if nothing else was said.
    pub host: SocketAddrV4,
    /// The guest's port.
    pub guest: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("`{text}` is no port: a number from 1 to 65535")),
        };
        let fields: Vec<&str> = text.split(':').collect();
        let (address, host, guest) = match *fields.as_slice() {
            [both] => (None, both, both),
            [host, guest] => (None, host, guest),
            [address, host, guest] => (Some(address), host, guest),
            _ => return Err("expected PORT, PORT:GUEST_PORT or ADDRESS:PORT:GUEST_PORT".to_owned()),
        };
        let address = match address {
            Some(address) => address.parse().map_err(|_| format!("`{address}` is no IPv4 address"))?,
            None => Ipv4Addr::LOCALHOST,
        };
        Ok(Self { host: SocketAddrV4::new(address, port(host)?), guest: port(guest)? })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.guest)
    }
}

/// A folder of this machine that the guest sees: `FOLDER:GUEST_PATH[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Here.
    pub folder: PathBuf,
    /// There: an absolute path. It is made if it is missing.
    pub target: String,
    /// Whether the guest may only read.
    pub read_only: bool,
}

impl Share {
    /// What the guest calls the device.
    pub(crate) fn tag(number: usize) -> String {
        format!("smolvm{number}")
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, read_only) = text.strip_suffix(":ro").map_or((text, false), |rest| (rest, true));
        let Some((folder, target)) = rest.rsplit_once(':').filter(|(folder, _)| !folder.is_empty()) else {
            return Err("expected FOLDER:GUEST_PATH or FOLDER:GUEST_PATH:ro".to_owned());
        };
        if !target.starts_with('/') {
            return Err(format!("`{target}` is no absolute path of the guest"));
        }
        Ok(Self { folder: folder.into(), target: target.to_owned(), read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards() {
        for (text, expected) in [
            ("8080", Ok("127.0.0.1:8080:8080")),
            ("8080:80", Ok("127.0.0.1:8080:80")),
            ("0.0.0.0:8080:80", Ok("0.0.0.0:8080:80")),
            ("0:80", Err("`0` is no port")),
            ("80:65536", Err("`65536` is no port")),
            ("host:1:2", Err("`host` is no IPv4 address")),
            ("1:2:3:4", Err("expected PORT")),
            ("", Err("`` is no port")),
        ] {
            match (text.parse::<Forward>(), expected) {
                (Ok(forward), Ok(expected)) => assert_eq!(forward.to_string(), expected),
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{text}: {error}"),
                (parsed, expected) => panic!("{text}: {parsed:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn shares() {
        let share = |folder: &str, target: &str, read_only| {
            Ok(Share { folder: folder.into(), target: target.to_owned(), read_only })
        };
        assert_eq!("src:/src".parse(), share("src", "/src", false));
        assert_eq!("a:b:/src:ro".parse(), share("a:b", "/src", true));
        for text in ["src", ":/src", "src:", "src:relative", "/src:ro"] {
            text.parse::<Share>().unwrap_err();
        }
    }
}

//! A network device between this machine and one guest, for virtual machine monitors without a user network.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::error::VmError;

/// How many devices are tried: one for each guest that runs.
const DEVICES: u8 = 64;

/// A TAP device. One that was made here is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) name: String,
    /// This machine's end.
    pub(crate) host: Ipv4Addr,
    /// The guest's.
    pub(crate) guest: Ipv4Addr,
    netmask: Ipv4Addr,
    is_ours: bool,
}

impl Tap {
    /// The device of this name, with the address that it has; without a name, a new one with a network of four addresses for itself.
    pub(crate) async fn take(name: Option<&str>) -> Result<Self, VmError> {
        match name {
            Some(name) => Self::existing(name).await,
            None => Self::make().await,
        }
    }

    async fn existing(name: &str) -> Result<Self, VmError> {
        let shown =
            ip(&["-4", "-o", "address", "show", "dev", name]).await.map_err(|output| VmError::NoTap { output })?;
        let nothing = || VmError::NoTap { output: format!("`{name}` has no IPv4 address") };
        let (host, prefix) = address(&shown).ok_or_else(nothing)?;
        Ok(Self { name: name.to_owned(), host, guest: other(host), netmask: netmask(prefix), is_ours: false })
    }

    async fn make() -> Result<Self, VmError> {
        let mut last = format!("{DEVICES} of them are in use");
        for number in 0..DEVICES {
            let name = format!("smolvm{number}");
            let is_there = || Path::new("/sys/class/net").join(&name).exists();
            if is_there() {
                continue;
            }
            match ip(&["tuntap", "add", "dev", &name, "mode", "tap"]).await {
                Ok(_) => {}
                // Another smolvm was quicker.
                Err(_) if is_there() => continue,
                Err(output) => {
                    last = output;
                    break;
                }
            }
            let host = Ipv4Addr::new(172, 16, number, 1);
            let tap = Self { name, host, guest: other(host), netmask: netmask(30), is_ours: true };
            let prepare = async {
                ip(&["address", "add", &format!("{host}/30"), "dev", &tap.name]).await?;
                ip(&["link", "set", &tap.name, "up"]).await
            };
            return prepare.await.map(|_| tap).map_err(|output| VmError::NoTap { output });
        }
        Err(VmError::NoTap { output: last })
    }

    /// The boot argument by which the guest configures its end.
    pub(crate) fn boot_argument(&self) -> String {
        format!("ip={}::{}:{}::eth0:off", self.guest, self.host, self.netmask)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.is_ours {
            // Whoever holds it was ended before. If it stays all the same, the next guest takes another number.
            let removed = std::process::Command::new("ip").args(["link", "delete", &self.name]).output();
            tracing::debug!(device = self.name, ?removed, "removed");
        }
    }
}

/// What `ip` prints, or why not.
async fn ip(words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("ip");
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| format!("`ip` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`ip {}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Of a line such as `7: tap0    inet 172.16.0.1/24 scope global tap0`.
fn address(shown: &str) -> Option<(Ipv4Addr, u32)> {
    let mut words = shown.split_whitespace().skip_while(|word| *word != "inet");
    let (address, prefix) = words.nth(1)?.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
}

/// The neighbour of an address, which is in the same network of at least four: .1 and .2 are a pair, as .5 and .6 are.
fn other(host: Ipv4Addr) -> Ipv4Addr {
    let bits = host.to_bits();
    Ipv4Addr::from_bits(if bits & 3 == 2 { bits - 1 } else { bits + 1 })
}

fn netmask(prefix: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - prefix).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let shown = "7: tap0    inet 172.16.0.1/24 scope global tap0\\       valid_lft forever preferred_lft forever\n";
        assert_eq!(address(shown), Some((Ipv4Addr::new(172, 16, 0, 1), 24)));
        assert_eq!(address(""), None);
        assert_eq!(address("7: tap0 inet 172.16.0.1/33"), None);
        assert_eq!(other(Ipv4Addr::new(10, 0, 0, 1)), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(other(Ipv4Addr::new(10, 0, 0, 6)), Ipv4Addr::new(10, 0, 0, 5));
        for (prefix, expected) in [(0, "0.0.0.0"), (8, "255.0.0.0"), (30, "255.255.255.252"), (32, "255.255.255.255")] {
            assert_eq!(netmask(prefix).to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_device_that_is_not_there_is_no_network() {
        let error = Tap::take(Some("smolvm-none")).await.unwrap_err();
        assert!(matches!(&error, VmError::NoTap { output } if output.contains("smolvm-none")), "{error}");
    }
}

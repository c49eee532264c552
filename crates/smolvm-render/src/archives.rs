//! The public package archives of each release: what the guest's own apt or apk asks, whatever mirror built the image.

use smolvm_manifest::{Arch, Distro, Family};

/// A package archive of a release, at its public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicArchive {
    /// The archive's name, as the lock spells it.
    pub name: &'static str,
    /// Its public address.
    pub url: String,
    /// The suites of the release. Empty for Alpine, whose address names the release.
    pub suites: Vec<String>,
    /// Components (Alpine: repositories).
    pub components: &'static [&'static str],
    /// Where the release keeps the certificates that sign it; `None` for Alpine, where apk knows its own.
    pub keyring: Option<&'static str>,
}

const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const UBUNTU_KEYRING: &str = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";

/// The archives that a release is made of.
pub fn public_archives(distro: Distro, arch: Arch) -> Vec<PublicArchive> {
    let codename = match distro {
        Distro::DebianBookworm => "bookworm",
        Distro::DebianTrixie => "trixie",
        Distro::Ubuntu2204 => "jammy",
        Distro::Ubuntu2404 => "noble",
        Distro::Alpine320 => "v3.20",
        Distro::Alpine321 => "v3.21",
        Distro::Alpine322 => "v3.22",
    };
    match distro.family() {
        Family::Debian => vec![
            PublicArchive {
                name: "debian",
                url: "http://ftp.debian.org/debian".to_owned(),
                suites: vec![codename.to_owned(), format!("{codename}-updates")],
                components: &["main"],
                keyring: Some(DEBIAN_KEYRING),
            },
            PublicArchive {
                name: "debian-security",
                url: "http://security-cdn.debian.org/debian-security".to_owned(),
                suites: vec![format!("{codename}-security")],
                components: &["main"],
                keyring: Some(DEBIAN_KEYRING),
            },
        ],
        Family::Ubuntu => vec![PublicArchive {
            name: "ubuntu",
            url: match arch {
                Arch::Amd64 => "http://archive.ubuntu.com/ubuntu".to_owned(),
                Arch::Arm64 => "http://ports.ubuntu.com/ubuntu-ports".to_owned(),
            },
            suites: vec![codename.to_owned(), format!("{codename}-updates"), format!("{codename}-security")],
            components: &["main", "universe"],
            keyring: Some(UBUNTU_KEYRING),
        }],
        Family::Alpine => vec![PublicArchive {
            name: "alpine",
            url: format!("https://dl-cdn.alpinelinux.org/alpine/{codename}"),
            suites: Vec::new(),
            components: &["main", "community"],
            keyring: None,
        }],
    }
}

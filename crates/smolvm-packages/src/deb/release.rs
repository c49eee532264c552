//! The releases that smolvm knows, as rows of a table.

use smolvm_manifest::{Arch, Distro, Family};

/// A release of a distribution of the deb world.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// The release, as the Smolfile spells it.
    pub distro: Distro,
    /// The name that its archive uses: `bookworm`, `noble`.
    pub codename: &'static str,
    /// The archives that its packages come from; the first holds the main suite.
    pub archives: &'static [Archive],
    /// The suites to read, the main one first. Of a package in several, the newest version is taken.
    pub suites: &'static [Suite],
    /// The certificates that sign its indexes, binary.
    pub keyring: &'static [u8],
    /// What is installed for SSH access, beside what the Smolfile asks for.
    pub ssh_packages: &'static [&'static str],
    /// The package that depends on the newest kernel for virtual machines, per architecture.
    kernel_packages: PerArch,
}

/// A package archive: one address with a `dists` and a `pool` folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Archive {
    /// The name that the lock uses, never a host.
    pub name: &'static str,
    /// The public addresses, per architecture.
    addresses: PerArch,
    /// Where it is as it was at `{timestamp}`: what a lock names is there long after it left the archive.
    pub snapshot: &'static str,
}

/// A suite of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// The [`Archive::name`] that holds it.
    pub archive: &'static str,
    /// Its folder below `dists`.
    pub suite: &'static str,
    /// The components to read.
    pub components: &'static [&'static str],
}

/// The row of a release; `None` for a release that is not of the deb world.
pub fn release(distro: Distro) -> Option<&'static Release> {
    RELEASES.iter().find(|release| release.distro == distro)
}

impl Release {
    /// The package whose dependency is the release's kernel for virtual machines.
    pub fn kernel_package(&self, arch: Arch) -> &'static str {
        self.kernel_packages.get(arch)
    }

    /// Debian or Ubuntu.
    pub fn family(&self) -> Family {
        self.distro.family()
    }
}

impl Archive {
    /// The public address, without a trailing slash.
    pub fn address(&self, arch: Arch) -> &'static str {
        self.addresses.get(arch)
    }
}

/// One word per architecture.
#[derive(Debug, PartialEq, Eq)]
struct PerArch {
    amd64: &'static str,
    arm64: &'static str,
}

impl PerArch {
    const fn get(&self, arch: Arch) -> &'static str {
        match arch {
            Arch::Amd64 => self.amd64,
            Arch::Arm64 => self.arm64,
        }
    }
}

/// Every release of the deb world.
pub const RELEASES: &[Release] = &[
    Release {
        distro: Distro::DebianBookworm,
        codename: "bookworm",
        archives: DEBIAN_ARCHIVES,
        suites: &[
            Suite { archive: "debian", suite: "bookworm", components: &["main"] },
            Suite { archive: "debian", suite: "bookworm-updates", components: &["main"] },
            Suite { archive: "debian-security", suite: "bookworm-security", components: &["main"] },
        ],
        keyring: DEBIAN_KEYRING,
        ssh_packages: SSH_PACKAGES,
        kernel_packages: DEBIAN_KERNELS,
    },
    Release {
        distro: Distro::DebianTrixie,
        codename: "trixie",
        archives: DEBIAN_ARCHIVES,
        suites: &[
            Suite { archive: "debian", suite: "trixie", components: &["main"] },
            Suite { archive: "debian", suite: "trixie-updates", components: &["main"] },
            Suite { archive: "debian-security", suite: "trixie-security", components: &["main"] },
        ],
        keyring: DEBIAN_KEYRING,
        ssh_packages: SSH_PACKAGES,
        kernel_packages: DEBIAN_KERNELS,
    },
    Release {
        distro: Distro::Ubuntu2204,
        codename: "jammy",
        archives: UBUNTU_ARCHIVES,
        suites: &[
            Suite { archive: "ubuntu", suite: "jammy", components: UBUNTU_COMPONENTS },
            Suite { archive: "ubuntu", suite: "jammy-updates", components: UBUNTU_COMPONENTS },
            Suite { archive: "ubuntu", suite: "jammy-security", components: UBUNTU_COMPONENTS },
        ],
        keyring: UBUNTU_KEYRING,
        ssh_packages: SSH_PACKAGES,
        kernel_packages: UBUNTU_KERNELS,
    },
    Release {
        distro: Distro::Ubuntu2404,
        codename: "noble",
        archives: UBUNTU_ARCHIVES,
        suites: &[
            Suite { archive: "ubuntu", suite: "noble", components: UBUNTU_COMPONENTS },
            Suite { archive: "ubuntu", suite: "noble-updates", components: UBUNTU_COMPONENTS },
            Suite { archive: "ubuntu", suite: "noble-security", components: UBUNTU_COMPONENTS },
        ],
        keyring: UBUNTU_KEYRING,
        ssh_packages: SSH_PACKAGES,
        kernel_packages: UBUNTU_KERNELS,
    },
];

const DEBIAN_ARCHIVES: &[Archive] = &[
    Archive {
        name: "debian",
        addresses: everywhere("http://ftp.debian.org/debian"),
        snapshot: "https://snapshot.debian.org/archive/debian/{timestamp}",
    },
    Archive {
        name: "debian-security",
        addresses: everywhere("http://security-cdn.debian.org/debian-security"),
        snapshot: "https://snapshot.debian.org/archive/debian-security/{timestamp}",
    },
];

/// Ubuntu serves amd64 and all other architectures from different hosts, under one set of signed indexes.
const UBUNTU_ARCHIVES: &[Archive] = &[Archive {
    name: "ubuntu",
    addresses: PerArch { amd64: "http://archive.ubuntu.com/ubuntu", arm64: "http://ports.ubuntu.com/ubuntu-ports" },
    snapshot: "https://snapshot.ubuntu.com/ubuntu/{timestamp}",
}];

const UBUNTU_COMPONENTS: &[&str] = &["main", "universe"];

const SSH_PACKAGES: &[&str] = &["openssh-server", "iproute2"];

const DEBIAN_KERNELS: PerArch = PerArch { amd64: "linux-image-cloud-amd64", arm64: "linux-image-cloud-arm64" };

const UBUNTU_KERNELS: PerArch = everywhere("linux-image-virtual");

const DEBIAN_KEYRING: &[u8] = include_bytes!("../../keyrings/debian-archive-keyring.pgp");

const UBUNTU_KEYRING: &[u8] = include_bytes!("../../keyrings/ubuntu-archive-keyring.gpg");

const fn everywhere(word: &'static str) -> PerArch {
    PerArch { amd64: word, arm64: word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deb_distro_has_a_row_and_every_suite_an_archive() {
        for distro in Distro::ALL {
            let row = release(distro);
            assert_eq!(row.is_some(), distro.family() != Family::Alpine, "{}", distro.name());
            let Some(row) = row else { continue };
            assert_eq!(row.suites[0].suite, row.codename);
            for suite in row.suites {
                assert!(row.archives.iter().any(|archive| archive.name == suite.archive), "{suite:?}");
            }
        }
    }
}

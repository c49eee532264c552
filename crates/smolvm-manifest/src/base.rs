//! The operating systems that a Smolfile can start from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an image starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// A distribution release that smolvm installs by itself.
    Distro(Distro),
    /// A Docker image reference.
    Image(String),
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distro(distro) => f.write_str(distro.name()),
            Self::Image(reference) => write!(f, "image {reference}"),
        }
    }
}

/// A distribution release, as the Smolfile spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Distro {
    /// Debian 12.
    #[serde(rename = "debian:bookworm")]
    DebianBookworm,
    /// Debian 13.
    #[serde(rename = "debian:trixie")]
    DebianTrixie,
    /// Ubuntu 22.04 LTS, jammy.
    #[serde(rename = "ubuntu:22.04")]
    Ubuntu2204,
    /// Ubuntu 24.04 LTS, noble.
    #[serde(rename = "ubuntu:24.04")]
    Ubuntu2404,
    /// Alpine 3.20.
    #[serde(rename = "alpine:3.20")]
    Alpine320,
    /// Alpine 3.21.
    #[serde(rename = "alpine:3.21")]
    Alpine321,
    /// Alpine 3.22.
    #[serde(rename = "alpine:3.22")]
    Alpine322,
}

/// The package world that a release belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian: deb packages.
    Debian,
    /// Ubuntu: deb packages.
    Ubuntu,
    /// Alpine: apk packages.
    Alpine,
}

impl Distro {
    /// Every release, in the order in which errors list them.
    pub const ALL: [Self; 7] = [
        Self::DebianBookworm,
        Self::DebianTrixie,
        Self::Ubuntu2204,
        Self::Ubuntu2404,
        Self::Alpine320,
        Self::Alpine321,
        Self::Alpine322,
    ];

    /// The name that the Smolfile uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DebianBookworm => "debian:bookworm",
            Self::DebianTrixie => "debian:trixie",
            Self::Ubuntu2204 => "ubuntu:22.04",
            Self::Ubuntu2404 => "ubuntu:24.04",
            Self::Alpine320 => "alpine:3.20",
            Self::Alpine321 => "alpine:3.21",
            Self::Alpine322 => "alpine:3.22",
        }
    }

    /// The package world.
    pub const fn family(self) -> Family {
        match self {
            Self::DebianBookworm | Self::DebianTrixie => Family::Debian,
            Self::Ubuntu2204 | Self::Ubuntu2404 => Family::Ubuntu,
            Self::Alpine320 | Self::Alpine321 | Self::Alpine322 => Family::Alpine,
        }
    }
}

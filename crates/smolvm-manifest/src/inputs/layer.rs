//! The layers of an image.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an image is made of, in canonical order: each of the first six lies on those before it; kernel and disk stand beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The release's essential and required set.
    Base,
    /// What the Smolfile and SSH ask for beyond it.
    Packages,
    /// Users, groups, passwords.
    Users,
    /// Entries of `files`.
    Files,
    /// Run steps.
    Run,
    /// Environment, SSH, host name, init.
    Identity,
    /// The kernel, its initrd and its modules.
    Kernel,
    /// The file system that all of it is written to, and the image's own name.
    Disk,
}

impl Layer {
    /// Every layer, in order.
    pub const ALL: [Self; 8] =
        [Self::Base, Self::Packages, Self::Users, Self::Files, Self::Run, Self::Identity, Self::Kernel, Self::Disk];

    /// The layers of the root file system's tree.
    const TREE: [Self; 6] = [Self::Base, Self::Packages, Self::Users, Self::Files, Self::Run, Self::Identity];

    /// The name that people and `--json` see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Packages => "packages",
            Self::Users => "users",
            Self::Files => "files",
            Self::Run => "run",
            Self::Identity => "identity",
            Self::Kernel => "kernel",
            Self::Disk => "disk",
        }
    }

    /// This layer, and before it those that it lies on.
    pub fn with_those_below(self) -> &'static [Self] {
        match self {
            Self::Base | Self::Packages | Self::Users | Self::Files | Self::Run | Self::Identity => {
                &Self::TREE[..=self as usize]
            }
            Self::Kernel => &[Self::Kernel],
            Self::Disk => &Self::ALL,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

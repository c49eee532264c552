//! The typed steps that both engines follow.

use smolvm_manifest::{FileContent, FileEntry, Layer, LocalSource, Owner, PackageLayer, RunStep, User};

/// One step of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Installs the lock's packages of one layer.
    InstallPackages {
        /// Which of them.
        layer: PackageLayer,
    },
    /// Sets an existing user's password.
    SetPassword {
        /// Login name.
        user: String,
        /// A crypt(3) hash; `None` writes `*`, which no password matches but which is not a locked account.
        hash: Option<String>,
    },
    /// Creates a user with a primary group of the same name and number, and a home folder (0755, owned by the user) that
    /// holds a copy of `/etc/skel`. The user id is always given. Its `authorized_keys` come with a later
    /// identity step, so they are not to be written here.
    CreateUser(User),
    /// Places an entry of `files`.
    PlaceFile(FileStep),
    /// Runs a command inside the image.
    Run(RunStep),
    /// Writes a file that says who this guest is: `/init`, host name, keys, environment, package sources. Needs no sandbox.
    WriteIdentity(FileStep),
}

impl Step {
    /// The layer that this step belongs to.
    pub const fn layer(&self) -> Layer {
        match self {
            Self::InstallPackages { layer: PackageLayer::Base } => Layer::Base,
            Self::InstallPackages { layer: PackageLayer::User } => Layer::Packages,
            Self::SetPassword { .. } | Self::CreateUser(_) => Layer::Users,
            Self::PlaceFile(_) => Layer::Files,
            Self::Run(_) => Layer::Run,
            Self::WriteIdentity(_) => Layer::Identity,
        }
    }
}

/// A file (or, from `files`, a folder) to place. It replaces what is there; missing parents become 0755 root:root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStep {
    /// Absolute, normalised path in the guest.
    pub target: String,
    /// What to put there.
    pub content: Content,
    /// Permission bits of a file (not of a copied folder's parts). `None`: 0755 for a source that its owner may execute, else 0644.
    pub mode: Option<u32>,
    /// Owner; root:root if `None`. Of a folder, and all that comes with it.
    pub owner: Option<Owner>,
    /// Where given, the folder that holds `target` is owned by `owner` and gets these permission bits, even if it exists.
    pub parent_mode: Option<u32>,
}

impl FileStep {
    /// A file owned by root.
    pub(crate) fn root(target: impl Into<String>, content: Content, mode: u32) -> Self {
        Self { target: target.into(), content, mode: Some(mode), owner: None, parent_mode: None }
    }

    pub(crate) fn from_entry(entry: &FileEntry) -> Self {
        let content = match &entry.content {
            FileContent::Inline(text) => Content::Bytes(text.clone().into_bytes()),
            FileContent::Local(source) => Content::Local(source.clone()),
        };
        Self { target: entry.target.clone(), content, mode: entry.mode, owner: entry.owner.clone(), parent_mode: None }
    }
}

/// The content of a [`FileStep`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// What lies beside the Smolfile.
    Local(LocalSource),
}

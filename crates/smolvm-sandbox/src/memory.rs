//! A scratch folder in memory.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::Task;
use crate::session::{Session, files, open_folder};
use crate::{SandboxError, host};

/// Where in a scratch folder lie files of the disk, under names of their own, also in a folder of memory.
///
/// A [`PlaceOp::Slice`](crate::PlaceOp::Slice) may name what is there, so that a large file need not be copied into memory first.
pub const ON_DISK: &str = "content/layers";

/// A file system in memory (`tmpfs`) that is mounted on a folder, where only sandboxes see it that are started in it.
///
/// It is gone with the last clone and the last session, however their process ends. What is in it is reached from outside by
/// [`path`](Self::path), in this process and while a clone lives.
#[derive(Debug, Clone)]
pub struct MemoryFolder {
    path: PathBuf,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    folder: OwnedFd,
    namespaces: Namespaces,
}

/// The user and the mount namespace in which something is mounted.
#[derive(Debug)]
pub(crate) struct Namespaces {
    pub(crate) user: OwnedFd,
    pub(crate) mount: OwnedFd,
}

impl MemoryFolder {
    /// Mounts at most `bytes` of memory on a folder of the building user. [`ON_DISK`] below the folder, which is made, stays what it is.
    ///
    /// Fails where a sandbox cannot be made, and on kernels whose `tmpfs` lacks extended attributes of users (before Linux 6.6).
    pub fn mount(on: &Path, bytes: u64) -> Result<Self, SandboxError> {
        let on_disk = on.join(ON_DISK);
        fs_err::create_dir_all(&on_disk).map_err(files("make", &on_disk))?;
        let task = Task::Mount { folder: open_folder(on)?, bytes };
        let session = Session::launch(task, on.to_owned(), host::identity())?;
        let [folder, user, mount] = session.descriptors()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        Ok(Self { path, parts: Arc::new(Parts { folder, namespaces: Namespaces { user, mount } }) })
    }

    /// The folder, as this process reaches it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> Result<u64, SandboxError> {
        let found = rustix::fs::fstatvfs(&self.parts.folder);
        let found = found.map_err(|error| files("look at", &self.path)(error.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    pub(crate) fn namespaces(&self) -> std::io::Result<Namespaces> {
        let Namespaces { user, mount } = &self.parts.namespaces;
        Ok(Namespaces { user: user.try_clone()?, mount: mount.try_clone()? })
    }
}

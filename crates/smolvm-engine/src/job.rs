//! What an engine is handed, and what it gives back.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smolvm_fetch::{Fetcher, Mirrors};
use smolvm_manifest::{LockedManifest, Secret};
use smolvm_render::Recipe;
use smolvm_rootfs::RootTree;
use smolvm_sandbox::MemoryFolder;

use crate::{Cached, EngineError, Events, Layers};

/// Turns a recipe into a root tree.
pub trait Engine {
    /// Carries out every step of the recipe.
    ///
    /// The tree's contents lie in the job's scratch folder and in layers: keep a clone of the job as long as the tree is read.
    fn build(&self, job: Job) -> impl Future<Output = Result<Built, EngineError>> + Send;
}

/// What an engine has made.
#[derive(Debug)]
pub struct Built {
    /// The root file system.
    pub tree: RootTree,
    /// The layers that were made for it, in whose files some of its contents lie.
    pub made: Vec<Cached>,
}

/// One image to build.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to build.
    pub locked: LockedManifest,
    /// How: the steps.
    pub recipe: Recipe,
    /// An empty folder of the building user, on the disk of the store.
    pub scratch: ScratchFolder,
    /// The layers that are there already.
    pub layers: Layers,
    /// How package files are got.
    pub fetcher: Fetcher,
    /// Where package files are.
    pub mirrors: Mirrors,
    /// What run steps with a network may know of the host.
    pub surroundings: StepSurroundings,
    /// Where progress goes.
    pub events: Events,
}

/// A folder that exists as long as anybody holds it.
#[derive(Debug, Clone)]
pub struct ScratchFolder {
    path: PathBuf,
    memory: Option<MemoryFolder>,
    _guard: Arc<dyn Guard>,
}

/// Something whose end removes a folder.
pub trait Guard: Any + Debug + Send + Sync {}

impl<T: Any + Debug + Send + Sync> Guard for T {}

impl ScratchFolder {
    /// The folder at `path`, which dropping `guard` removes.
    pub fn new(path: PathBuf, guard: Arc<dyn Guard>) -> Self {
        Self { path, memory: None, _guard: guard }
    }

    /// The same folder, with memory mounted on it for what the embedded engine unpacks and builds.
    #[must_use]
    pub fn in_memory(self, memory: MemoryFolder) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Where it is, on the disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The memory that is mounted on it.
    pub fn memory(&self) -> Option<&MemoryFolder> {
        self.memory.as_ref()
    }

    /// Where sandboxes find it: in memory, or on the disk.
    pub(crate) fn place(&self) -> &Path {
        self.memory.as_ref().map_or(&*self.path, MemoryFolder::path)
    }
}

/// What run steps may use of the host and what never enters the image.
#[derive(Debug, Clone, Default)]
pub struct StepSurroundings {
    /// Values of the secrets that steps name.
    pub secrets: BTreeMap<String, Secret>,
    /// The host's `resolv.conf`.
    pub resolv_conf: Option<Vec<u8>>,
    /// Proxy variables, both spellings.
    pub proxies: Vec<(String, String)>,
    /// The host's CA certificates, PEM.
    pub ca_bundle: Option<Vec<u8>>,
}

impl Job {
    /// The newest time that a file of the image may have.
    pub fn epoch(&self) -> i64 {
        self.locked.lock.epoch
    }

    pub(crate) fn local_files(&self) -> PathBuf {
        self.scratch.path().join("local")
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.place()
    }
}

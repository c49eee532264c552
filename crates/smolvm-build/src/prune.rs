//! Removing what killed builds left: work folders of the store, and containers and images in Docker.

use std::path::Path;

use serde::Serialize;
use smolvm_engine::DockerError;
use smolvm_store::Store;

use crate::{BuildError, BuildOptions, engine, work};

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Work folders of the store, and images that were not finished.
    pub work_folders: usize,
    /// Containers and images in Docker; `None` where there is no daemon to ask.
    pub docker: Option<usize>,
}

/// Removes what killed builds left in the store and in Docker. Images and everything that a running build uses stay.
pub async fn prune(options: &BuildOptions) -> Result<Pruned, BuildError> {
    let store = Store::open_existing(&options.image_dir)?;
    let mut work_folders = 0;
    // In a folder that is no store nothing is made.
    if store.root().join("scratch").is_dir() {
        work_folders += store.sweep_scratch(|folder: &Path| work::remove(folder))?.removed;
    }
    if store.root().join("staging").is_dir() {
        work_folders += store.sweep_staging()?;
    }
    let docker = match engine::docker(options, "prune").await {
        Ok(docker) => Some(Box::pin(docker.remove_leftovers()).await?),
        Err(DockerError::NotInstalled { .. } | DockerError::NotRunning { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Pruned { work_folders, docker })
}

//! Removing what killed builds left: work folders of the store, and containers and images in Docker.

use std::path::Path;

use serde::Serialize;
use smolvm_engine::DockerError;
use smolvm_store::Store;

use crate::{BuildError, BuildOptions, engine, work};

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Work folders of the store.
    pub work_folders: usize,
    /// Containers and images in Docker; `None` where there is no daemon to ask.
    pub docker: Option<usize>,
}

/// Removes what killed builds left in the store and in Docker. Images and everything that a running build uses stay.
pub async fn prune(options: &BuildOptions) -> Result<Pruned, BuildError> {
    let store = Store::open_existing(&options.image_dir)?;
    let work_folders = if store.root().join("scratch").is_dir() {
        store.sweep_scratch(|folder: &Path| work::remove(folder))?.removed
    } else {
        0
    };
    let docker = match engine::docker(options, "prune").await {
        Ok(docker) => {
            let removed = Box::pin(docker.remove_leftovers()).await;
            Some(removed.map_err(|error| BuildError::of_engine(error.into()))?)
        }
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    Ok(Pruned { work_folders, docker })
}

/// Whether there simply is no Docker on this machine.
fn is_absent(error: &BuildError) -> bool {
    let code = error.diagnostic().code().map(|code| code.to_string());
    let absent = [DockerError::NOT_INSTALLED, DockerError::NOT_RUNNING];
    code.is_some_and(|code| absent.contains(&code.as_str()))
}

//! Removing what killed builds left: work folders of the store, and containers and images in Docker.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use smolvm_engine::DockerError;
use smolvm_store::{RemovedLayers, Store};

use crate::{BuildError, BuildOptions, engine, work};

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Work folders of the store, and images that were not finished.
    pub work_folders: usize,
    /// Layers of the cache.
    pub layers: usize,
    /// Bytes on disk that the layers occupied.
    pub layer_bytes: u64,
    /// Containers and images in Docker; `None` where there is no daemon to ask.
    pub docker: Option<usize>,
}

/// Removes what killed builds left in the store and in Docker, and layers that no image of the store was made of; all layers, if so asked.
/// Images and everything that a running build uses stay.
pub async fn prune(options: &BuildOptions, all_layers: bool) -> Result<Pruned, BuildError> {
    let store = Store::open_existing(&options.image_dir)?;
    let mut work_folders = 0;
    // In a folder that is no store nothing is made.
    if store.root().join("scratch").is_dir() {
        work_folders += store.sweep_scratch(|folder: &Path| work::remove(folder))?.removed;
    }
    if store.root().join("staging").is_dir() {
        work_folders += store.sweep_staging()?;
    }
    let layers = if store.root().join("layers").is_dir() {
        let used = if all_layers { BTreeSet::new() } else { layers_of_images(&store)? };
        // One that cannot be used any more, since one below it was made anew, is of no use to its image either.
        store.remove_layers(|key| used.contains(key.as_str()) && store.layer(key).is_ok_and(|layer| layer.is_some()))?
    } else {
        RemovedLayers::default()
    };
    let docker = match engine::docker(options, "prune").await {
        Ok(docker) => Some(Box::pin(docker.remove_leftovers()).await?),
        Err(DockerError::NotInstalled { .. } | DockerError::NotRunning { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Pruned { work_folders, layers: layers.layers, layer_bytes: layers.freed_bytes, docker })
}

/// The layers that the images of the store were made of.
fn layers_of_images(store: &Store) -> Result<BTreeSet<String>, BuildError> {
    let records = store.list()?.into_iter().filter_map(|image| image.state.ok());
    Ok(records.flat_map(|record| record.layers).map(|layer| layer.key).collect())
}

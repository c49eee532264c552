//! The layers of an image that were made before, and those that are made now.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use smolvm_manifest::{BuildKey, Inputs, Layer};
use smolvm_rootfs::{ChangedContent, PackWriter, PackedTree, RootTree};
use smolvm_store::{CachedLayer, Store};

use crate::EngineError;

/// The cache of layers, as one build sees it. A layer that it has used stays there for as long as this or a clone of it lives.
#[derive(Debug, Clone)]
pub struct Layers {
    store: Store,
    inputs: Inputs,
    found: Vec<Cached>,
    reuse: bool,
}

/// A layer in the cache: the whole tree up to and with it.
#[derive(Debug, Clone)]
pub struct Cached {
    layer: Layer,
    tree: Arc<PackedTree>,
    stored: CachedLayer,
}

impl Layers {
    /// The layers that are kept in the cache. Those between them are edits of a list, made in no time.
    pub const KEPT: [Layer; 4] = [Layer::Base, Layer::Packages, Layer::Run, Layer::Kernel];

    /// Looks for the layers of these inputs. Without `reuse` none is found, and those that are made replace what is there.
    pub fn find(store: Store, inputs: Inputs, reuse: bool) -> Result<Self, EngineError> {
        let mut layers = Self { store, inputs, found: Vec::new(), reuse };
        // What lies under a layer that is there is not needed.
        let steps = (layers.inputs.layer(Layer::Run).iter().next().is_some()).then_some(Layer::Run);
        for layer in steps.into_iter().chain([Layer::Packages, Layer::Base]) {
            if let Some(cached) = layers.look_up(layer)? {
                layers.found.push(cached);
                break;
            }
        }
        if let Some(cached) = layers.look_up(Layer::Kernel)? {
            layers.found.push(cached);
        }
        Ok(layers)
    }

    /// What decides the image.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// A layer that was found.
    pub fn get(&self, layer: Layer) -> Option<&Cached> {
        self.found.iter().find(|cached| cached.layer == layer)
    }

    /// Whether a layer need not be made: it, or one that lies on it, was found.
    pub fn has(&self, layer: Layer) -> bool {
        self.found.iter().any(|cached| cached.layer.with_those_below().contains(&layer))
    }

    /// Puts a tree into the cache as what is there up to and with this layer. Contents of `below` are not written again.
    pub fn keep(&self, layer: Layer, tree: &RootTree, below: Option<&Cached>) -> Result<Cached, EngineError> {
        let kept = self.keep_unless_changed(layer, tree, below, None)?;
        kept.ok_or_else(|| std::io::Error::other("a layer changed while nothing could change it").into())
    }

    /// The same, while work goes on in the folder that holds the tree's contents. Nothing is kept where a file was changed `since` then:
    /// what it held is lost.
    pub(crate) fn keep_unless_changed(
        &self,
        layer: Layer,
        tree: &RootTree,
        below: Option<&Cached>,
        since: Option<SystemTime>,
    ) -> Result<Option<Cached>, EngineError> {
        let lock = self.store.lock(&self.key(layer))?;
        // Another build may have made the same meanwhile.
        if let Some(cached) = self.look_up(layer)? {
            return Ok(Some(cached));
        }
        let staging = self.store.stage_layer(&lock)?;
        let content = staging.content()?;
        let place = self.store.layer_content(lock.key());
        let mut writer = PackWriter::new(&content, &place, below.map(|below| &*below.tree));
        if let Some(since) = since {
            writer = writer.unchanged_since(since);
        }
        let packed = match writer.pack(tree) {
            Err(error) if ChangedContent::is(&error) => return Ok(None),
            packed => packed.map_err(|error| self.failed(&error))?,
        };
        let key_of = |path: &Path| Some(path.parent()?.file_name()?.to_str()?.to_owned());
        let listing = packed.to_bytes(key_of).map_err(|error| self.failed(&error))?;
        let below: Vec<BuildKey> = packed
            .packs()
            .into_iter()
            .filter(|path| *path != place)
            .filter_map(|path| key_of(path)?.parse().ok())
            .collect();
        let stored = staging.commit(&listing, &below.iter().collect::<Vec<_>>())?;
        Ok(Some(Cached { layer, tree: Arc::new(packed), stored }))
    }

    fn key(&self, layer: Layer) -> BuildKey {
        self.inputs.layer_key(layer)
    }

    fn look_up(&self, layer: Layer) -> Result<Option<Cached>, EngineError> {
        if !self.reuse {
            return Ok(None);
        }
        let Some(stored) = self.store.layer(&self.key(layer))? else { return Ok(None) };
        // One that cannot be read is as good as none: it is made again.
        let tree = PackedTree::from_bytes(stored.listing(), |key| stored.content_of(key)).ok();
        Ok(tree.map(|tree| Cached { layer, tree: Arc::new(tree), stored }))
    }

    fn failed(&self, error: &std::io::Error) -> EngineError {
        std::io::Error::new(error.kind(), format!("keeping a layer in {}: {error}", self.store.root().display())).into()
    }
}

impl Cached {
    /// The tree.
    pub fn tree(&self) -> &RootTree {
        self.tree.tree()
    }

    /// Its key.
    pub fn key(&self) -> &BuildKey {
        self.stored.key()
    }
}

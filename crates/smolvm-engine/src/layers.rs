//! The layers of an image that were made before, and those that are made now.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use smolvm_manifest::{BuildKey, Inputs, Layer, LayerInputs};
use smolvm_rootfs::{ChangedContent, PackWriter, PackedTree, RootTree};
use smolvm_store::{CachedLayer, LayerContent, Store};

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

/// A layer of packages that holds some of those that are wanted, and no others.
#[derive(Debug, Clone)]
pub struct Smaller {
    /// It.
    pub layer: Cached,
    /// The packages that are wanted and that it does not hold, by name.
    pub missing: BTreeSet<String>,
}

/// What a layer in the cache was made of: its own inputs, and the layer below it with all of its own.
#[derive(Debug, Serialize, Deserialize)]
struct MadeOf {
    layer: Layer,
    below: Option<String>,
    inputs: LayerInputs,
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

    /// The largest layer of packages in the cache that lies on the same base as the wanted one, and to which packages need only be added.
    pub fn smaller_packages(&self) -> Result<Option<Smaller>, EngineError> {
        if !self.reuse || self.has(Layer::Packages) {
            return Ok(None);
        }
        let wanted = self.made_of(Layer::Packages);
        let mut smaller: Vec<(BuildKey, MadeOf)> = Vec::new();
        for (key, made_of) in self.store.layer_inputs()? {
            let Ok(made_of) = serde_json::from_slice::<MadeOf>(&made_of) else { continue };
            let is_smaller = made_of.layer == wanted.layer
                && made_of.below == wanted.below
                && made_of.inputs.added_packages(&wanted.inputs).is_some();
            smaller.extend(is_smaller.then_some((key, made_of)));
        }
        smaller.sort_by_key(|(_, made_of)| std::cmp::Reverse(made_of.inputs.locked_packages()));
        for (key, made_of) in smaller {
            if let Some(layer) = self.open(Layer::Packages, &key)? {
                let missing = made_of.inputs.added_packages(&wanted.inputs).unwrap_or_default();
                return Ok(Some(Smaller { layer, missing: missing.into_iter().map(str::to_owned).collect() }));
            }
        }
        Ok(None)
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
        let others = packed.packs().into_iter().filter(|path| *path != place).filter_map(key_of);
        let below: Vec<&LayerContent> =
            others.filter_map(|key| below.and_then(|below| below.stored.content_of(&key))).collect();
        let made_of = serde_json::to_vec(&self.made_of(layer)).map_err(|error| self.failed(&error.into()))?;
        let stored = staging.commit(&listing, &made_of, &below)?;
        Ok(Some(Cached { layer, tree: Arc::new(packed), stored }))
    }

    fn key(&self, layer: Layer) -> BuildKey {
        self.inputs.layer_key(layer)
    }

    fn made_of(&self, layer: Layer) -> MadeOf {
        let below = layer.with_those_below().iter().rev().nth(1).map(|below| self.key(*below).to_string());
        MadeOf { layer, below, inputs: self.inputs.layer(layer).clone() }
    }

    fn look_up(&self, layer: Layer) -> Result<Option<Cached>, EngineError> {
        if self.reuse { self.open(layer, &self.key(layer)) } else { Ok(None) }
    }

    fn open(&self, layer: Layer, key: &BuildKey) -> Result<Option<Cached>, EngineError> {
        let Some(stored) = self.store.layer(key)? else { return Ok(None) };
        // One that cannot be read is as good as none: it is made again.
        let place = |key: &str| stored.content_of(key).map(|content| (Arc::clone(content.path()), content.size()));
        let tree = PackedTree::from_bytes(stored.listing(), place).ok();
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

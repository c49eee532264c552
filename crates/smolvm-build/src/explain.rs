//! What a build would do, and why: the layers that are reused, and for each of the others the inputs that changed.

use std::fmt;

use serde::Serialize;
use smolvm_engine::Layers;
use smolvm_manifest::{InputChange, Inputs, Layer, LayerInputs, LockedManifest};
use smolvm_store::{ImageRecord, Store};

use crate::build::{inputs, load_supported};
use crate::engine::EngineKind;
use crate::resolve::FoundLock;
use crate::{BuildError, BuildOptions, Events};

/// What a build of a Smolfile would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The image's name.
    pub name: String,
    /// The build key; none where the lock has to be written first.
    pub key: Option<String>,
    /// Whether the image is in the store.
    pub built: bool,
    /// The key of the image that the name means now, with which the inputs are compared.
    pub compared_with: Option<String>,
    /// Why the lock does not answer the Smolfile, where it does not.
    pub lock: Option<String>,
    /// Every layer, in order.
    pub layers: Vec<ExplainedLayer>,
}

/// What becomes of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedLayer {
    /// Which.
    pub name: Layer,
    /// What becomes of it.
    pub fate: Fate,
    /// The inputs of its own that are not those of the image that the name means now.
    pub changes: Vec<InputChange>,
}

/// What becomes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is in the cache, or one that lies on it is.
    Reused,
    /// It is made.
    Made,
    /// It is an edit of what lies below, which is made in every build and takes no time.
    Applied,
    /// There is nothing in it.
    Empty,
    /// Its packages are chosen first.
    Unresolved,
}

/// Says what a build would do. Fetches and writes nothing.
pub fn explain(options: &BuildOptions, events: &Events) -> Result<Explanation, BuildError> {
    let (manifest, engine) = load_supported(options, events)?;
    let store = Store::open_existing(&options.image_dir)?;
    let name = manifest.name.clone();
    let previous = store.find(&name).ok();
    let compared_with = previous.as_ref().map(|image| image.key().to_string());
    let old = previous.as_ref().map(smolvm_store::Image::record);
    let (locked, lock) = match FoundLock::of(&manifest, engine, options)? {
        FoundLock::Current(lock) => (LockedManifest { manifest, lock: *lock }, None),
        FoundLock::Outrun(lock, why) => (LockedManifest { manifest, lock: *lock }, Some(why)),
        found @ (FoundLock::Missing | FoundLock::Elsewhere(_)) => {
            return Ok(unlocked(name, found.lack(options), compared_with));
        }
    };
    let inputs = inputs(&locked, engine);
    if let Some(lock) = lock {
        let layers = compare(&inputs, old, |layer| match layer {
            Layer::Base | Layer::Packages | Layer::Run | Layer::Kernel => Fate::Unresolved,
            Layer::Users | Layer::Files | Layer::Identity | Layer::Disk => Fate::Applied,
        });
        return Ok(Explanation { name, key: None, built: false, compared_with, lock: Some(lock), layers });
    }
    let key = inputs.key();
    let built = store.lookup(&key)?.is_some();
    let cache = Layers::find(store, inputs, true)?;
    let layers = of_build(&cache, old, engine);
    Ok(Explanation { name, key: Some(key.to_string()), built, compared_with, lock: None, layers })
}

fn unlocked(name: String, why: String, compared_with: Option<String>) -> Explanation {
    let unresolved = |name| ExplainedLayer { name, fate: Fate::Unresolved, changes: Vec::new() };
    let layers = Layer::ALL.map(unresolved).into();
    Explanation { name, key: None, built: false, compared_with, lock: Some(why), layers }
}

/// What becomes of each layer in a build that has found what `cache` has.
pub(crate) fn of_build(cache: &Layers, previous: Option<&ImageRecord>, engine: EngineKind) -> Vec<ExplainedLayer> {
    compare(cache.inputs(), previous, |layer| {
        if cache.inputs().layer(layer).iter().next().is_none() {
            Fate::Empty
        } else if layer == Layer::Kernel || (engine == EngineKind::Embedded && Layers::KEPT.contains(&layer)) {
            if cache.has(layer) { Fate::Reused } else { Fate::Made }
        } else if engine == EngineKind::Docker {
            Fate::Made
        } else {
            Fate::Applied
        }
    })
}

fn compare(inputs: &Inputs, previous: Option<&ImageRecord>, fate: impl Fn(Layer) -> Fate) -> Vec<ExplainedLayer> {
    let old =
        |name: Layer| previous.and_then(|record| Some(&record.layers.iter().find(|layer| layer.name == name)?.inputs));
    let changes = |name| old(name).map(|old: &LayerInputs| old.changes_to(inputs.layer(name))).unwrap_or_default();
    Layer::ALL.iter().map(|name| ExplainedLayer { name: *name, fate: fate(*name), changes: changes(*name) }).collect()
}

/// Most changes that the line of a build names.
const MOST_NAMED: usize = 4;

/// The line that a build says of its layers.
pub(crate) fn line(layers: &[ExplainedLayer]) -> String {
    let names = |fate: Fate| {
        let names: Vec<&str> =
            layers.iter().filter(|layer| layer.fate == fate).map(|layer| layer.name.name()).collect();
        names.join(", ")
    };
    let mut parts = Vec::new();
    for (fate, word) in [(Fate::Reused, "reused"), (Fate::Made, "made")] {
        let names = names(fate);
        if !names.is_empty() {
            parts.push(format!("{word} {names}"));
        }
    }
    let mut changes: Vec<String> = layers
        .iter()
        .flat_map(|layer| &layer.changes)
        .filter(|change| !is_consequence(change))
        .map(ToString::to_string)
        .collect();
    if changes.is_empty() {
        changes = layers.iter().flat_map(|layer| &layer.changes).map(ToString::to_string).collect();
    }
    let more = changes.len().saturating_sub(MOST_NAMED);
    changes.truncate(MOST_NAMED);
    if more > 0 {
        changes.push(format!("{more} more (`smolvm explain` before the build names all)"));
    }
    let changes = if changes.is_empty() { String::new() } else { format!(" ({})", changes.join(", ")) };
    format!("layers: {}{changes}", parts.join("; "))
}

/// What the lock says follows from the Smolfile, or from the day on which it was resolved.
fn is_consequence(change: &InputChange) -> bool {
    change.input.starts_with("lock: ") || change.input == "epoch"
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, key, built, compared_with, lock, layers } = self;
        let short = |key: &Option<String>| key.as_ref().map(|key| key.chars().take(12).collect::<String>());
        match (short(key), built) {
            (Some(key), true) => writeln!(f, "{name} is built: {key}")?,
            (Some(key), false) => writeln!(f, "{name} is to be built: {key}")?,
            (None, _) => writeln!(f, "{name} is to be built")?,
        }
        if let Some(why) = lock {
            writeln!(f, "{why}: a build chooses its packages first")?;
        }
        match short(compared_with) {
            Some(old) if !built => writeln!(f, "compared with {old}, which `{name}` means now:")?,
            None => writeln!(f, "no image has this name yet:")?,
            Some(_) => {}
        }
        for layer in layers {
            let fate = match layer.fate {
                Fate::Reused => "reused",
                Fate::Made => "to be made",
                Fate::Applied => "applied",
                Fate::Empty => "empty",
                Fate::Unresolved => "not known yet",
            };
            writeln!(f, "  {:<9} {fate}", layer.name.name())?;
            for change in &layer.changes {
                writeln!(f, "            {change}")?;
            }
        }
        Ok(())
    }
}

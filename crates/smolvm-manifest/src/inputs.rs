//! What decides the bytes of an image, by name: the build key and the keys of its layers are hashes of this, and `smolvm explain` compares it.

mod added;
mod changes;
mod layer;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use changes::InputChange;
pub use layer::Layer;

use crate::key::{BuildKey, digest};
use crate::lock::{LockedKernel, LockedManifest, LockedPackage, PackageLayer};
use crate::manifest::{FileContent, FileEntry, LocalKind, Manifest, Size};

/// Goes up when the same inputs would give other bytes: another ext4 writer, another canonical layer order, another way of installing.
const FORMAT_VERSION: u32 = 2;

/// The name of a field that says which place an input has among its like.
const PLACE: &str = "#";

/// The group of what the lock says.
const LOCKED: &str = "lock";

/// The group of packages that the Smolfile asks for.
const REQUESTED: &str = "packages";

/// One thing that decides bytes, in fields; what has no parts has one field without a name.
pub type Fields = BTreeMap<String, String>;

/// Everything that can change the bytes of an image or what its record says, each under the layer that it matters to first.
///
/// Comments, key order and white space of the YAML are not among it, and values that were left out stand as their defaults. The
/// image's name is, although the host name and the passwords' salt that come from it are listed themselves: an image in the store has
/// one name. Not part of it: where secrets come from (they never enter an image), where sources lie on this machine, and the text of
/// the Smolfile. Of passwords there is only a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs(BTreeMap<Layer, LayerInputs>);

/// The inputs of one layer, by name: `packages: git`, `files: /etc/app`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerInputs(BTreeMap<String, Fields>);

impl LockedManifest {
    /// The inputs of the image that this makes.
    ///
    /// `engine` is the engine's name, `recipe` the digest of the templates that steps are rendered with.
    pub fn inputs(&self, engine: &str, recipe: &str) -> Inputs {
        Inputs(
            [
                (Layer::Base, base(self, engine)),
                (Layer::Packages, packages(self)),
                (Layer::Users, users(&self.manifest)),
                (Layer::Files, files(&self.manifest)),
                (Layer::Run, run(&self.manifest)),
                (Layer::Identity, identity(self, recipe)),
                (Layer::Kernel, kernel(self)),
                (Layer::Disk, disk(&self.manifest)),
            ]
            .into(),
        )
    }

    /// The key of the image that this makes: equal keys mean equal bytes.
    pub fn key(&self, engine: &str, recipe: &str) -> BuildKey {
        self.inputs(engine, recipe).key()
    }
}

impl Inputs {
    /// The key of the image.
    pub fn key(&self) -> BuildKey {
        BuildKey::of(digest(&self.0))
    }

    /// The key of a layer: the hash of its inputs and of those of all layers that it lies on.
    pub fn layer_key(&self, layer: Layer) -> BuildKey {
        let below: BTreeMap<Layer, &LayerInputs> =
            layer.with_those_below().iter().filter_map(|layer| Some((*layer, self.0.get(layer)?))).collect();
        BuildKey::of(digest(&(layer, below)))
    }

    /// The inputs of a layer.
    pub fn layer(&self, layer: Layer) -> &LayerInputs {
        &self.0[&layer]
    }
}

impl LayerInputs {
    /// The names, with their fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fields)> {
        self.0.iter().map(|(name, fields)| (name.as_str(), fields))
    }

    /// Something without parts.
    fn value(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        self.put(name, [(String::new(), value.to_string())].into());
    }

    /// One of several: `packages: git`. `place` is given where their order counts.
    fn item(&mut self, group: &str, item: &str, mut fields: Fields, place: Option<usize>) {
        if let Some(place) = place {
            fields.insert(PLACE.to_owned(), place.to_string());
        }
        self.put(&format!("{group}: {item}"), fields);
    }

    fn put(&mut self, name: &str, fields: Fields) {
        let mut free = name.to_owned();
        // What is there twice counts twice.
        for number in 2.. {
            if !self.0.contains_key(&free) {
                break;
            }
            free = format!("{name} ({number})");
        }
        self.0.insert(free, fields);
    }
}

/// The parts of plain data under their own names, so that a part which is added to a type is an input without a word here.
fn fields(data: &impl Serialize) -> Fields {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    #[expect(clippy::expect_used, reason = "structs of text, numbers and maps with text keys always serialise")]
    match serde_json::to_value(data).expect("inputs are plain data") {
        Value::Object(parts) => parts.iter().map(|(name, part)| (name.clone(), text(part))).collect(),
        other => [(String::new(), text(&other))].into(),
    }
}

fn one(field: &str, value: &(impl ToString + ?Sized)) -> Fields {
    [(field.to_owned(), value.to_string())].into()
}

fn base(locked: &LockedManifest, engine: &str) -> LayerInputs {
    let Manifest { base, arch, .. } = &locked.manifest;
    let mut inputs = LayerInputs::default();
    inputs.value("smolvm recipe", &FORMAT_VERSION);
    inputs.value("engine", engine);
    inputs.value("base", base);
    inputs.value("arch", arch);
    inputs.value("epoch", &locked.lock.epoch);
    if let Some(image) = &locked.lock.base_image {
        inputs.item(LOCKED, "base image", fields(image), None);
    }
    add_packages(&mut inputs, &locked.lock.packages, PackageLayer::Base);
    inputs
}

fn packages(locked: &LockedManifest) -> LayerInputs {
    let mut inputs = LayerInputs::default();
    for (place, package) in locked.manifest.packages.iter().enumerate() {
        let version = package.version.as_deref().unwrap_or("any");
        inputs.item(REQUESTED, &package.name, one("version", version), Some(place));
    }
    for index in &locked.lock.indexes {
        inputs.item(LOCKED, &format!("{} {}", index.archive, index.suite), fields(index), None);
    }
    add_packages(&mut inputs, &locked.lock.packages, PackageLayer::User);
    inputs
}

fn add_packages(inputs: &mut LayerInputs, packages: &[LockedPackage], layer: PackageLayer) {
    for package in packages.iter().filter(|package| package.layer == layer) {
        inputs.item(LOCKED, &package.name, fields(package), None);
    }
}

fn users(manifest: &Manifest) -> LayerInputs {
    let mut inputs = LayerInputs::default();
    if let Some(hash) = manifest.ssh.as_ref().and_then(|ssh| ssh.password_hash.as_deref()) {
        inputs.value("ssh.password", &digest(&hash));
    }
    for (place, user) in manifest.users.iter().enumerate() {
        let mut fields = fields(user);
        // Their keys are written last of all.
        fields.remove("authorized_keys");
        fields.remove("password_hash");
        let password = user.password_hash.as_ref().map_or_else(|| "none".to_owned(), digest);
        fields.insert("password".to_owned(), password);
        inputs.item("users", &user.name, fields, Some(place));
    }
    inputs
}

fn files(manifest: &Manifest) -> LayerInputs {
    let mut inputs = LayerInputs::default();
    for (place, FileEntry { target, content, mode, owner }) in manifest.files.iter().enumerate() {
        let mut fields = Fields::new();
        fields.insert("mode".to_owned(), mode.map_or_else(|| "of the source".to_owned(), |mode| format!("{mode:04o}")));
        let owner = owner.as_ref().map_or_else(|| "root".to_owned(), |owner| format!("{}:{}", owner.user, owner.group));
        fields.insert("owner".to_owned(), owner);
        match content {
            FileContent::Inline(text) => {
                fields.insert("content".to_owned(), blake3::hash(text.as_bytes()).to_hex().to_string());
            }
            FileContent::Local(source) => {
                for (number, entry) in source.entries.iter().enumerate() {
                    let what = match &entry.kind {
                        LocalKind::Directory => "folder".to_owned(),
                        LocalKind::Symlink { target } => format!("link to {target}"),
                        LocalKind::File { blake3, size, executable } => {
                            let mode = if *executable { "0755" } else { "0644" };
                            format!("{blake3} {size} bytes {mode}")
                        }
                    };
                    let name =
                        if entry.path.is_empty() { "source".to_owned() } else { format!("source {}", entry.path) };
                    // An entry that is there twice counts twice.
                    let name = if fields.contains_key(&name) { format!("{name} ({number})") } else { name };
                    fields.insert(name, what);
                }
            }
        }
        inputs.item("files", target, fields, Some(place));
    }
    inputs
}

fn run(manifest: &Manifest) -> LayerInputs {
    let mut inputs = LayerInputs::default();
    if manifest.run.is_empty() {
        return inputs;
    }
    // What steps see of the machine that they run on.
    inputs.value("hostname", &manifest.hostname);
    for (place, step) in manifest.run.iter().enumerate() {
        inputs.put(&format!("run[{place}]"), fields(step));
    }
    inputs
}

fn identity(locked: &LockedManifest, recipe: &str) -> LayerInputs {
    // Taken apart, so that a new field does not compile before somebody has decided which layer it belongs to.
    let Manifest {
        document: _,
        name: _,
        base: _,
        arch: _,
        size: _,
        packages: _,
        repositories,
        ssh,
        env,
        hostname,
        users,
        files: _,
        run: _,
        secrets: _,
        services,
        dns,
        tmp,
        kernel: _,
        boot_args: _,
    } = &locked.manifest;
    let mut inputs = LayerInputs::default();
    inputs.value("smolvm templates", recipe);
    inputs.value("hostname", hostname);
    inputs.value("ssh", &ssh.is_some());
    let root = ssh.as_ref().map(|ssh| ("root", &ssh.authorized_keys));
    let others = users.iter().map(|user| (user.name.as_str(), &user.authorized_keys));
    for (user, keys) in root.into_iter().chain(others) {
        for (place, key) in keys.iter().enumerate() {
            inputs.item("authorized_keys", &format!("{user} {key}"), Fields::new(), Some(place));
        }
    }
    for (name, value) in env {
        inputs.item("env", name, one("", value), None);
    }
    for (place, repository) in repositories.iter().enumerate() {
        let mut fields = fields(repository);
        fields.insert("signed_by".to_owned(), blake3::hash(&repository.signed_by).to_hex().to_string());
        inputs.item("repositories", &repository.name, fields, Some(place));
    }
    for (place, service) in services.iter().enumerate() {
        inputs.item("services", &service.name, fields(service), Some(place));
    }
    for (place, address) in dns.iter().enumerate() {
        inputs.item("network.dns", &address.to_string(), Fields::new(), Some(place));
    }
    inputs.put("tmp", fields(tmp));
    inputs
}

fn kernel(locked: &LockedManifest) -> LayerInputs {
    let mut inputs = LayerInputs::default();
    inputs.value("smolvm recipe", &FORMAT_VERSION);
    inputs.value("arch", &locked.manifest.arch);
    inputs.value("epoch", &locked.lock.epoch);
    inputs.put("kernel", fields(&locked.manifest.kernel));
    match &locked.lock.kernel {
        LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) => {
            inputs.item(LOCKED, "kernel", one("from", locked.lock.kernel.source()), None);
            inputs.item(LOCKED, "kernel modules", fields(&kernel.modules), None);
            for (place, package) in kernel.packages.iter().enumerate() {
                inputs.item(LOCKED, &package.name, fields(package), Some(place));
            }
            inputs.item(LOCKED, &format!("initrd {}", kernel.busybox.name), fields(&kernel.busybox), None);
        }
        LockedKernel::Smolvm(file) | LockedKernel::Url(file) | LockedKernel::Path(file) => {
            let mut fields = fields(file);
            fields.insert("from".to_owned(), locked.lock.kernel.source().to_owned());
            inputs.item(LOCKED, "kernel", fields, None);
        }
    }
    inputs
}

fn disk(manifest: &Manifest) -> LayerInputs {
    let mut inputs = LayerInputs::default();
    inputs.value("name", &manifest.name);
    match manifest.size {
        Size::Auto => inputs.value("size", "auto"),
        Size::Bytes(bytes) => inputs.value("size", &bytes),
    }
    for (place, word) in manifest.boot_args.iter().enumerate() {
        inputs.item("boot.args", word, Fields::new(), Some(place));
    }
    inputs
}

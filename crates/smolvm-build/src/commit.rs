//! Root file system, kernel and record, put together and into the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use smolvm_engine::{Built, Job};
use smolvm_manifest::{Inputs, Layer, Manifest, Size};
use smolvm_rootfs::{Content, Ext4Options, Ext4Size, Inode, Kind, RootTree, write_ext4};
use smolvm_store::{BlobRecord, BuildLock, Image, ImageRecord, LayerRecord, Reproducible, Store};
use smolvm_vm::{Vmm, boot_args};
use tokio::task::spawn_blocking;

use crate::error::IoFailure;
use crate::kernel::Kernel;
use crate::{BuildError, BuiltImage, BuiltLayer, Stage};

/// What the file system is called.
const LABEL: &str = "smolvm";

/// Writes everything into a staging folder and makes that an image of the store.
pub(crate) async fn commit(
    store: Store,
    turn: BuildLock,
    job: Job,
    engine: Built,
    kernel: Kernel,
    replace: bool,
    created: SystemTime,
) -> Result<Image, BuildError> {
    let stop = Arc::new(AtomicBool::new(false));
    // Dropping this future (Ctrl-C) ends the writing, which nobody waits for any more.
    let _stop_when_dropped = StopWhenDropped(Arc::clone(&stop));
    let work = move || {
        // The layers of `made` hold contents of the tree: nobody may remove them now.
        let Built { mut tree, made: _made } = engine;
        kernel.add_modules(&mut tree, job.epoch())?;
        let staging = store.stage(&turn)?;
        let folder = staging.path().to_owned();

        let manifest = &job.locked.manifest;
        let mut write = || {
            let place = folder.join(BlobRecord::ROOTFS);
            write_rootfs(&mut tree, manifest, job.epoch(), turn.key().as_str(), &place, &stop)
        };
        let put_kernel = || {
            let initrd = kernel.initrd.as_ref().map(|initrd| put(initrd, &folder, BlobRecord::INITRD));
            Ok::<_, BuildError>((put(&kernel.image, &folder, BlobRecord::KERNEL)?, initrd.transpose()?))
        };
        let ((rootfs, disk_bytes), (kernel_file, initrd)) = job.events.stage(Stage::Write, || {
            std::thread::scope(|scope| {
                let kernel_files = scope.spawn(put_kernel);
                let rootfs = write()?;
                let kernel_files = kernel_files.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                Ok::<_, BuildError>((rootfs, kernel_files))
            })
        })?;
        let record = ImageRecord {
            format: ImageRecord::FORMAT,
            name: manifest.name.clone(),
            key: turn.key().to_string(),
            arch: manifest.arch,
            base: manifest.base.to_string(),
            boot_args: boot_args(Vmm::Qemu, manifest.arch, &manifest.boot_args),
            extra_boot_args: manifest.boot_args.clone(),
            ssh: manifest.ssh.is_some(),
            kernel: kernel_file,
            initrd,
            rootfs,
            disk_bytes,
            reproducible: reproducible(manifest),
            kernel_source: job.locked.lock.kernel.source().to_owned(),
            packages: job.locked.lock.packages.len() as u64,
            layers: layers(job.layers.inputs()),
        };
        job.events.stage(Stage::Commit, || staging.commit(&record, replace, created).map_err(BuildError::from))
    };
    spawn_blocking(work).await.map_err(BuildError::panicked)?
}

/// What the image is made of, and what decides each part of it.
fn layers(inputs: &Inputs) -> Vec<LayerRecord> {
    let record =
        |name: Layer| LayerRecord { name, key: inputs.layer_key(name).to_string(), inputs: inputs.layer(name).clone() };
    Layer::ALL.map(record).into()
}

/// Says so to whoever looks.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The ext4 image; UUID and hash seed follow from the key, so that equal keys give equal bytes.
pub(crate) fn write_rootfs(
    tree: &mut RootTree,
    manifest: &Manifest,
    epoch: i64,
    key: &str,
    path: &Path,
    stop: &AtomicBool,
) -> Result<(BlobRecord, u64), BuildError> {
    let mut options = Ext4Options {
        size: match manifest.size {
            Size::Auto => Ext4Size::Auto,
            Size::Bytes(bytes) => Ext4Size::Fixed(bytes),
        },
        uuid: uuid(key),
        hash_seed: derived("smolvm ext4 hash seed", key),
        epoch,
        label: LABEL.to_owned(),
    };
    let failed_to_write = |error| BuildError::of_ext4(error, manifest);
    let size = options.size_bytes(tree).map_err(failed_to_write)?;
    options.size = Ext4Size::Fixed(size);
    tell_size(tree, size);
    let file = std::fs::File::create(path).map_err(|error| failed("creating the root file system", error))?;
    let summary = write_ext4(tree, &options, &file, stop).map_err(failed_to_write)?;
    let record = BlobRecord {
        file: BlobRecord::ROOTFS.to_owned(),
        size: summary.size_bytes,
        blake3: summary.blake3.to_hex().to_string(),
    };
    Ok((record, summary.disk_bytes))
}

/// Tells the guest how large its disk was made, in the sectors of 512 bytes that a kernel counts in. The file is there already: it is one
/// block before and after, so that an automatic size stays right.
fn tell_size(tree: &mut RootTree, bytes: u64) {
    if let Some(Inode { kind: Kind::File(content), .. }) = tree.get_mut(smolvm_render::DISK.trim_start_matches('/')) {
        *content = Content::bytes(format!("{}\n", bytes / 512).into_bytes());
    }
}

fn put(bytes: &[u8], folder: &Path, name: &str) -> Result<BlobRecord, BuildError> {
    fs_err::write(folder.join(name), bytes).map_err(|error| failed("writing the kernel", error))?;
    Ok(BlobRecord { file: name.to_owned(), size: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() })
}

fn failed(doing: &str, error: std::io::Error) -> BuildError {
    BuildError::host(IoFailure { doing: doing.to_owned(), error, help: None })
}

/// Sixteen bytes that follow from a key.
fn derived(purpose: &str, key: &str) -> [u8; 16] {
    let hash = blake3::derive_key(purpose, key.as_bytes());
    *hash.first_chunk().expect("a blake3 has 32 bytes")
}

/// A UUID of version 8 (RFC 9562): one whose bits its maker defines.
fn uuid(key: &str) -> [u8; 16] {
    let mut uuid = derived("smolvm ext4 uuid", key);
    uuid[6] = (uuid[6] & 0x0f) | 0x80;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

/// A step with a network has an input that nobody declared.
fn reproducible(manifest: &Manifest) -> Reproducible {
    let steps: Vec<String> = manifest.run.iter().filter(|step| step.network).map(|step| step.command.clone()).collect();
    if steps.is_empty() { Reproducible::Proven } else { Reproducible::Unproven { steps } }
}

/// An image of the store as a build's result. `reused` are the layers that were, where not the whole image was.
pub(crate) fn described(image: &Image, name: &str, reused: Option<&[Layer]>, duration: Duration) -> BuiltImage {
    let record = image.record();
    let cached = reused.is_none();
    let layer = |layer: &LayerRecord| BuiltLayer {
        name: layer.name,
        key: layer.key.clone(),
        cached: reused.is_none_or(|reused| reused.contains(&layer.name)),
    };
    BuiltImage {
        name: name.to_owned(),
        key: record.key.clone(),
        cached,
        kernel: image.kernel(),
        initrd: image.initrd(),
        rootfs: image.rootfs(),
        boot_args: record.boot_args.clone(),
        rootfs_blake3: record.rootfs.blake3.clone(),
        size_bytes: record.rootfs.size,
        disk_bytes: record.disk_bytes,
        layers: record.layers.iter().map(layer).collect(),
        duration,
    }
}

//! The kernel: out of packages, which are fetched and unpacked beside the image's, with an initrd made of them; or one file.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use smolvm_engine::{Cached, Job};
use smolvm_fetch::{Mirror, Mirrors, Wanted};
use smolvm_manifest::{KernelChoice, KernelFile, Layer, LockedKernel, LockedManifest, Modules, PackagedKernel};
use smolvm_packages::deb::install::{UnpackJob, Unpacker, Urgency};
use smolvm_packages::deb::unpack::UnpackLimits;
use smolvm_packages::kernel::{Format, Kernel as UnpackedKernel, ModuleSet, SourceFile, busybox, published};
use smolvm_rootfs::{Kind, RootTree, TreeError};
use tokio::task::spawn_blocking;

use crate::error::IoFailure;
use crate::{BuildError, BuildOptions, Stage};

/// A kernel, ready to be stored.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The kernel itself, as it came.
    pub(crate) image: Vec<u8>,
    /// The initial ram disk, for a kernel with modules.
    pub(crate) initrd: Option<Vec<u8>>,
    /// The modules for the image, where an image has them.
    modules: RootTree,
    /// The layer that it lies in: held, so that nobody removes it.
    _layer: Option<Cached>,
}

/// The kernel and the initrd in the tree of a layer, beside the modules.
const IMAGE: &str = "kernel";
const INITRD: &str = "initrd";
/// Where modules are, in that tree and in an image.
const MODULES: &str = "lib/modules";

/// The kernel that the lock says, with an initrd where one is needed: out of the cache, or fetched.
pub(crate) async fn prepare(job: &Job, options: &BuildOptions) -> Result<Kernel, BuildError> {
    if let Some(cached) = job.layers.get(Layer::Kernel) {
        return Kernel::of_layer(cached.clone());
    }
    let kernel = fetch(job, options).await?;
    let job = job.clone();
    let keep = move || {
        let tree = kernel.to_tree(job.epoch()).map_err(BuildError::build)?;
        let layer = job.layers.keep(Layer::Kernel, &tree, None)?;
        Ok(Kernel { modules: layer.tree().clone(), _layer: Some(layer), ..kernel })
    };
    spawn_blocking(keep).await.map_err(BuildError::panicked)?
}

/// Fetches what the lock says, and makes the initrd where one is needed.
async fn fetch(job: &Job, options: &BuildOptions) -> Result<Kernel, BuildError> {
    job.events
        .stage_async(Stage::Kernel, async {
            match &job.locked.lock.kernel {
                LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) => from_packages(job, kernel).await,
                LockedKernel::Smolvm(_) | LockedKernel::Url(_) => from_address(job).await,
                LockedKernel::Path(file) => {
                    let KernelChoice::Path { path, .. } = &job.locked.manifest.kernel else { return Err(stale()) };
                    let folder = options.smolfile.parent().unwrap_or(Path::new(""));
                    from_file(job, file, &folder.join(path)).await
                }
            }
        })
        .await
}

/// The one file that a kernel is, and where it comes from; nothing for one of packages, or of this machine.
pub(crate) fn file(locked: &LockedManifest, mirrors: &Mirrors) -> Result<Option<(Wanted, Vec<Mirror>)>, BuildError> {
    let wanted = |file: &KernelFile, path: &str| Wanted::new("the kernel", path, None, &file.sha256);
    let (wanted, mirrors) = match &locked.lock.kernel {
        LockedKernel::Smolvm(file) => {
            let path = published::for_qemu(locked.manifest.arch).file;
            let wanted = wanted(file, path).and_then(|wanted| wanted.vendored_at(published::ARCHIVE, path));
            (wanted, mirrors.of(published::ARCHIVE).to_vec())
        }
        LockedKernel::Url(file) => {
            let KernelChoice::Url { url, .. } = &locked.manifest.kernel else { return Err(stale()) };
            let wanted = wanted(file, "").and_then(|wanted| wanted.vendored_at("kernel", &file.sha256));
            (wanted, vec![Mirror::of_file(url).map_err(BuildError::input)?])
        }
        LockedKernel::Distro(_) | LockedKernel::Debian(_) | LockedKernel::Path(_) => return Ok(None),
    };
    Ok(Some((wanted.map_err(BuildError::input)?, mirrors)))
}

/// A lock that answers the question has the kernel that was asked for.
fn stale() -> BuildError {
    BuildError::input(smolvm_manifest::StaleLock)
}

/// One file, checked against its digest before anything looks at it.
async fn from_address(job: &Job) -> Result<Kernel, BuildError> {
    let (wanted, mirrors) = file(&job.locked, &job.mirrors)?.ok_or_else(stale)?;
    let mut fetched = job.fetcher.fetch(&wanted, &mirrors).await?;
    let image = spawn_blocking(move || {
        let mut bytes = Vec::new();
        // From the handle that was hashed, not from the path.
        fetched.read_to_end(&mut bytes).map(|_| bytes)
    });
    let image = image.await.map_err(BuildError::panicked)?;
    of_one_file(job, image.map_err(|error| reading("the fetched kernel", error))?)
}

/// A file of this machine. It was digested when the Smolfile was read; another one by now is not what the key says.
async fn from_file(job: &Job, file: &KernelFile, path: &Path) -> Result<Kernel, BuildError> {
    let shown = format!("the kernel `{}`", path.display());
    let image = tokio::fs::read(path).await.map_err(|error| reading(&shown, error))?;
    if hex::encode(Sha256::digest(&image)) == file.sha256 {
        return of_one_file(job, image);
    }
    let message = format!("{shown} was changed while the image was being built");
    let help = "build again when nothing writes to it any more";
    Err(refused(job, "/kernel/path", message, help, "smolvm::build::kernel_changed"))
}

fn of_one_file(job: &Job, image: Vec<u8>) -> Result<Kernel, BuildError> {
    let wanted = job.locked.manifest.arch;
    let problem = match Format::of(&image).map(Format::arch) {
        Some(arch) if arch == wanted => return Ok(Kernel::new(image, None, RootTree::new(job.epoch()))),
        Some(arch) => format!("this kernel is for {arch}, and the image is for {wanted}"),
        None => {
            "this file is no kernel: it is neither an ELF vmlinux nor a bzImage nor an Image of 64-bit ARM".to_owned()
        }
    };
    let help = "name a kernel for the image's architecture, uncompressed (`vmlinux`, `Image`) or a bzImage, with what it needs built in";
    Err(refused(job, "/kernel", problem, help, "smolvm::build::kernel_format"))
}

fn refused(job: &Job, pointer: &str, message: String, help: &str, code: &'static str) -> BuildError {
    BuildError::input(job.locked.manifest.document.error(pointer, message, Some(help.to_owned()), code))
}

fn reading(what: &str, error: std::io::Error) -> BuildError {
    let help = Some("make it readable, and build again".to_owned());
    BuildError::host(IoFailure { doing: format!("reading {what}"), error, help })
}

/// Kernel and busybox are unpacked apart from the image's packages: one package may be in both.
async fn from_packages(job: &Job, kernel: &PackagedKernel) -> Result<Kernel, BuildError> {
    let scratch = job.scratch.path().join("kernel");
    let (unpacker, packages) = Unpacker::start(&scratch, UnpackLimits::default(), 1, Urgency::Late);
    for package in kernel.packages.iter().chain([&kernel.busybox]) {
        let wanted = Wanted::package(package).map_err(BuildError::input)?;
        let deb = job.fetcher.fetch(&wanted, job.mirrors.of(&package.archive)).await?;
        unpacker.push(UnpackJob { package: package.clone(), deb, held: () });
    }
    drop(unpacker);
    let busybox_package = kernel.busybox.name.clone();
    let set = match kernel.modules {
        Modules::Chosen => ModuleSet::Chosen,
        Modules::All => ModuleSet::All,
    };
    let epoch = job.epoch();
    let kept = job.scratch.clone();
    // Dropping this future (Ctrl-C) ends the unpacking, and with it the thread below.
    let _stop_when_dropped = packages.stopper();
    let make = move || {
        let _kept = kept;
        let (mut kernel_files, mut busybox_files) = (Vec::new(), Vec::new());
        for package in packages {
            let package = package?;
            let files = if package.control.name == busybox_package { &mut busybox_files } else { &mut kernel_files };
            files.extend(SourceFile::of_package(&package, &scratch));
        }
        assemble(&kernel_files, &busybox_files, set, epoch)
    };
    spawn_blocking(make).await.map_err(BuildError::panicked)?
}

fn assemble(
    kernel_files: &[SourceFile],
    busybox_files: &[SourceFile],
    set: ModuleSet,
    epoch: i64,
) -> Result<Kernel, BuildError> {
    let unpacked = UnpackedKernel::find(kernel_files).map_err(BuildError::build)?;
    let busybox = busybox(busybox_files).map_err(BuildError::build)?;
    let initrd = unpacked.initrd(&busybox, epoch).map_err(BuildError::build)?;
    let image = std::fs::read(unpacked.image()).map_err(|error| reading("the unpacked kernel", error))?;
    let mut modules = RootTree::new(epoch);
    unpacked.add_modules(&mut modules, set, epoch).map_err(BuildError::build)?;
    Ok(Kernel::new(image, Some(initrd), modules))
}

impl Kernel {
    fn new(image: Vec<u8>, initrd: Option<Vec<u8>>, modules: RootTree) -> Self {
        Self { image, initrd, modules, _layer: None }
    }

    /// All of it as a tree.
    fn to_tree(&self, epoch: i64) -> Result<RootTree, TreeError> {
        let mut tree = self.modules.clone();
        tree.write_file(IMAGE, self.image.as_slice(), 0o644, 0, 0, epoch)?;
        if let Some(initrd) = &self.initrd {
            tree.write_file(INITRD, initrd.as_slice(), 0o644, 0, 0, epoch)?;
        }
        Ok(tree)
    }

    /// The inverse.
    fn of_layer(layer: Cached) -> Result<Self, BuildError> {
        let unreadable = |error| reading("the kernel in the cache", error);
        let read = |name: &str| match layer.tree().get(name).map(|inode| &inode.kind) {
            Some(Kind::File(content)) => content.read().map(Some).map_err(unreadable),
            _ => Ok(None),
        };
        let missing = || unreadable(std::io::ErrorKind::NotFound.into());
        let (image, initrd) = (read(IMAGE)?.ok_or_else(missing)?, read(INITRD)?);
        Ok(Self { image, initrd, modules: layer.tree().clone(), _layer: Some(layer) })
    }

    /// Puts the kernel's modules into the image.
    pub(crate) fn add_modules(&self, tree: &mut RootTree, epoch: i64) -> Result<(), BuildError> {
        let mut add = || {
            if self.modules.get(MODULES).is_none() {
                return Ok(());
            }
            // Through `/lib`, which is a link in most images.
            let folder = tree.place(MODULES)?;
            for (path, _, inode) in self.modules.below(MODULES).filter(|(_, _, inode)| !inode.is_directory()) {
                let path = format!("{folder}{}", &path[MODULES.len()..]);
                tree.create_parents(&path, epoch)?;
                tree.insert(&path, inode.clone())?;
            }
            Ok(())
        };
        add().map_err(|error: TreeError| BuildError::build(error))
    }
}

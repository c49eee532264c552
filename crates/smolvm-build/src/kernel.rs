//! The kernel: its package fetched and unpacked beside the image's, and the initrd made of it.

use smolvm_engine::Job;
use smolvm_fetch::Wanted;
use smolvm_manifest::Modules;
use smolvm_packages::deb::install::{UnpackJob, Unpacker, Urgency};
use smolvm_packages::deb::unpack::UnpackLimits;
use smolvm_packages::kernel::{Kernel as UnpackedKernel, ModuleSet, SourceFile, busybox};
use smolvm_rootfs::RootTree;
use tokio::task::spawn_blocking;

use crate::error::IoFailure;
use crate::{BuildError, Stage};

/// A kernel, ready to be stored.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The kernel itself, as its package brings it.
    pub(crate) image: Vec<u8>,
    /// The initial ram disk.
    pub(crate) initrd: Vec<u8>,
    unpacked: UnpackedKernel,
    modules: ModuleSet,
    epoch: i64,
}

/// Fetches and unpacks what the lock says, and makes the initrd.
pub(crate) async fn prepare(job: &Job) -> Result<Kernel, BuildError> {
    job.events.stage_async(Stage::Kernel, fetch_and_assemble(job)).await
}

/// Kernel and busybox are unpacked apart from the image's packages: one package may be in both.
async fn fetch_and_assemble(job: &Job) -> Result<Kernel, BuildError> {
    let lock = &job.locked.lock.kernel;
    let scratch = job.scratch.path().join("kernel");
    let (unpacker, packages) = Unpacker::start(&scratch, UnpackLimits::default(), 1, Urgency::Late);
    for package in lock.packages.iter().chain([&lock.busybox]) {
        let wanted = Wanted::package(package).map_err(BuildError::input)?;
        let deb = job.fetcher.fetch(&wanted, job.mirrors.of(&package.archive)).await?;
        unpacker.push(UnpackJob { package: package.clone(), deb, held: () });
    }
    drop(unpacker);
    let busybox_package = lock.busybox.name.clone();
    let modules = match lock.modules {
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
        assemble(&kernel_files, &busybox_files, modules, epoch)
    };
    spawn_blocking(make).await.map_err(BuildError::panicked)?
}

fn assemble(
    image: &[SourceFile],
    busybox_files: &[SourceFile],
    modules: ModuleSet,
    epoch: i64,
) -> Result<Kernel, BuildError> {
    let unpacked = UnpackedKernel::find(image).map_err(BuildError::build)?;
    let busybox = busybox(busybox_files).map_err(BuildError::build)?;
    let initrd = unpacked.initrd(&busybox, epoch).map_err(BuildError::build)?;
    let image = fs_err::read(unpacked.image()).map_err(|error| {
        BuildError::host(IoFailure { doing: "reading the unpacked kernel".to_owned(), error, help: None })
    })?;
    Ok(Kernel { image, initrd, unpacked, modules, epoch })
}

impl Kernel {
    /// Puts the kernel's modules into the image.
    pub(crate) fn add_modules(&self, tree: &mut RootTree) -> Result<(), BuildError> {
        self.unpacked.add_modules(tree, self.modules, self.epoch).map(drop).map_err(BuildError::build)
    }
}

//! The kernel: its package fetched and unpacked beside the image's, and the initrd made of it.

use smolvm_engine::Job;
use smolvm_fetch::Wanted;
use smolvm_manifest::{LockedPackage, Modules};
use smolvm_packages::deb::unpack::{UnpackLimits, unpack};
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

async fn fetch_and_assemble(job: &Job) -> Result<Kernel, BuildError> {
    let lock = &job.locked.lock.kernel;
    let mut kernel_files = Vec::new();
    for package in &lock.packages {
        kernel_files.extend(files(job, package).await?);
    }
    let busybox = files(job, &lock.busybox).await?;
    let modules = match lock.modules {
        Modules::Chosen => ModuleSet::Chosen,
        Modules::All => ModuleSet::All,
    };
    let epoch = job.epoch();
    let make = move || assemble(&kernel_files, &busybox, modules, epoch);
    spawn_blocking(make).await.map_err(BuildError::panicked)?
}

/// The files of a package, unpacked. Not among the image's own: one package may be in both.
async fn files(job: &Job, package: &LockedPackage) -> Result<Vec<SourceFile>, BuildError> {
    let wanted = Wanted::package(package).map_err(BuildError::input)?;
    let verified = job.fetcher.fetch(&wanted, job.mirrors.of(&package.archive)).await?;
    let (scratch, package) = (job.scratch.clone(), package.clone());
    let unpack = move || {
        let folder = scratch.path().join("kernel");
        let unpacked = unpack(verified, &package, &folder, &UnpackLimits::default())?;
        Ok(SourceFile::of_package(&unpacked, &folder).collect())
    };
    spawn_blocking(unpack).await.map_err(BuildError::panicked)?
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

//! The packages that a release's newest kernel for virtual machines consists of.

use std::collections::BTreeSet;

use miette::Diagnostic;
use smolvm_manifest::{LockedPackage, PackageLayer};

use super::universe::{PackageId, Universe};

/// Names of packages that hold a kernel or its modules.
const KERNEL_PARTS: [&str; 2] = ["linux-image-", "linux-modules-"];

/// The package with the static busybox that the initrd runs.
const BUSYBOX: &str = "busybox-static";

/// What a kernel and its initrd are made of. None of it is installed in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPackages {
    /// Kernel and modules: one package in Debian, several in Ubuntu.
    pub kernel: Vec<LockedPackage>,
    /// The static busybox.
    pub busybox: LockedPackage,
}

/// A kernel that the archive does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum NoKernel {
    /// The package that names the newest kernel is missing.
    #[error("the archive has no package `{package}`, which the kernel is taken from")]
    #[diagnostic(
        code(smolvm::packages::no_kernel),
        help("choose another kernel (`kernel: debian` boots any root file system), or a mirror that is complete")
    )]
    Missing {
        /// The package.
        package: String,
    },
    /// It depends on nothing that could be a kernel.
    #[error("the package `{package}` leads to no kernel")]
    #[diagnostic(
        code(smolvm::packages::no_kernel_behind),
        help("choose another kernel (`kernel: debian` boots any root file system), or a mirror that is complete")
    )]
    Empty {
        /// The package.
        package: String,
    },
}

/// Follows a release's kernel meta package to the packages with the files.
pub fn kernel_packages(universe: &Universe, meta_package: &str) -> Result<KernelPackages, NoKernel> {
    let newest = |name: &str| universe.newest(name).ok_or_else(|| NoKernel::Missing { package: name.to_owned() });
    let meta = newest(meta_package)?;
    let mut parts = BTreeSet::new();
    let mut open = vec![meta];
    while let Some(id) = open.pop() {
        let needed = universe.package(id).needs().flatten();
        let ids: Vec<PackageId> = needed
            .filter(|dependency| KERNEL_PARTS.iter().any(|part| dependency.name.starts_with(part)))
            .filter_map(|dependency| universe.newest(dependency.name))
            .collect();
        open.extend(ids.into_iter().filter(|id| parts.insert(*id)));
    }
    if parts.is_empty() {
        return Err(NoKernel::Empty { package: meta_package.to_owned() });
    }
    let locked = |id: PackageId| universe.package(id).locked(PackageLayer::User);
    let mut kernel: Vec<LockedPackage> = parts.into_iter().map(locked).collect();
    kernel.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(KernelPackages { kernel, busybox: locked(newest(BUSYBOX)?) })
}

//! Which packages a release's kernel and the busybox of its initrd are in. They are taken apart, never installed in the image.

use std::collections::BTreeSet;

use miette::Diagnostic;
use smolvm_manifest::{Modules, PackageLayer, PackagedKernel};

use super::release::Release;
use super::universe::{Package, PackageId, Universe};

/// A package that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("{codename} has no package `{name}`, which its kernel needs")]
#[diagnostic(
    code(smolvm::packages::no_kernel),
    help("the archive must hold the whole release; or take another kernel: `kernel: debian`")
)]
pub struct NoKernel {
    /// The release.
    codename: &'static str,
    /// The package.
    name: String,
}

/// The package with the static busybox that the initrd runs.
const BUSYBOX: &str = "busybox-static";

/// Names of packages that hold a kernel or its modules: Debian has both in one, Ubuntu in two or three.
const PARTS: [&str; 2] = ["linux-image-", "linux-modules-"];

/// The packages of a release's newest kernel for virtual machines. `universe` holds that release, for the architecture wanted.
pub fn resolve_kernel(universe: &Universe, release: &Release, modules: Modules) -> Result<PackagedKernel, NoKernel> {
    let missing = |name: &str| NoKernel { codename: release.codename, name: name.to_owned() };
    let newest = |name: &str| Some(universe.package(universe.newest(name)?));
    let meta_name = release.kernel_package(universe.arch());
    let meta = newest(meta_name).ok_or_else(|| missing(meta_name))?;
    let mut parts = BTreeSet::new();
    let mut open = vec![meta];
    while let Some(package) = open.pop() {
        let needed = needed(universe, package);
        open.extend(needed.into_iter().filter(|id| parts.insert(*id)).map(|id| universe.package(id)));
    }
    let mut packages: Vec<_> = parts.into_iter().map(|id| universe.package(id).locked(PackageLayer::Base)).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    if packages.is_empty() {
        return Err(missing("linux-image-*"));
    }
    let busybox = newest(BUSYBOX).ok_or_else(|| missing(BUSYBOX))?.locked(PackageLayer::Base);
    Ok(PackagedKernel { modules, packages, busybox })
}

/// The parts of a kernel that a package depends on.
fn needed(universe: &Universe, package: Package<'_>) -> Vec<PackageId> {
    let is_part = |name: &str| PARTS.iter().any(|part| name.starts_with(part));
    let dependencies = package.needs().flatten().filter(|dependency| is_part(dependency.name));
    dependencies
        .filter_map(|dependency| {
            let versions = universe.versions(universe.find(dependency.name)?);
            versions.iter().find(|id| universe.fulfils(**id, &dependency)).copied()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use smolvm_manifest::{Distro, LockedPackage};

    use super::*;
    use crate::deb::release::release;
    use crate::deb::resolve::tests::universe;

    fn check(distro: Distro, lines: &str) -> Result<String, NoKernel> {
        let universe = universe(&[("suite", lines)]);
        let kernel = resolve_kernel(&universe, release(distro).unwrap(), Modules::Chosen)?;
        let named = |package: &LockedPackage| format!("{}={}", package.name, package.version);
        let packages = kernel.packages.iter().chain([&kernel.busybox]);
        Ok(packages.map(named).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_kernel_is_found_through_its_meta_package() {
        let lines = "
            linux-image-cloud-amd64 6.1.2; Depends: linux-image-6.1.0-2-cloud-amd64 (= 6.1.2)
            linux-image-cloud-amd64 6.1.1; Depends: linux-image-6.1.0-1-cloud-amd64 (= 6.1.1)
            linux-image-6.1.0-2-cloud-amd64 6.1.2; Depends: kmod, initramfs-tools
            linux-image-6.1.0-1-cloud-amd64 6.1.1
            busybox-static 1.35";
        let expected = "linux-image-6.1.0-2-cloud-amd64=6.1.2 busybox-static=1.35";
        assert_eq!(check(Distro::DebianBookworm, lines).unwrap(), expected);
        let without = lines.replace("linux-image-6.1.0-2-cloud-amd64 6.1.2", "linux-image-6.1.0-2-cloud-amd64 6.1.3");
        let error = check(Distro::DebianBookworm, &without).unwrap_err();
        assert_eq!(error.to_string(), "bookworm has no package `linux-image-*`, which its kernel needs");
    }

    #[test]
    fn modules_that_are_apart_come_along() {
        let lines = "
            linux-image-virtual 6.8; Depends: linux-image-6.8-generic
            linux-image-6.8-generic 6.8; Depends: kmod, linux-modules-6.8-generic
            linux-modules-6.8-generic 6.8
            busybox-static 1.36";
        let expected = "linux-image-6.8-generic=6.8 linux-modules-6.8-generic=6.8 busybox-static=1.36";
        assert_eq!(check(Distro::Ubuntu2404, lines).unwrap(), expected);
    }
}

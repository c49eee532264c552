//! A distribution's kernel package as what a VM boots: the kernel, a small initrd that finds the root disk, and the modules that go into
//! the image. Kernels that are one file: their formats, the published one, the ELF in a bzImage.

mod closure;
mod depmod;
mod error;
mod format;
mod index;
mod initrd;
mod modinfo;
pub mod published;
mod source;
#[cfg(test)]
mod tests;
mod vmlinux;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use smolvm_rootfs::RootTree;

pub use self::error::KernelError;
pub use self::format::Format;
pub use self::source::{SourceFile, busybox};
pub use self::vmlinux::vmlinux;

use self::closure::Closure;
use self::modinfo::ModuleInfo;

/// One kernel with its modules, found in the files of unpacked packages.
#[derive(Debug, Clone)]
pub struct Kernel {
    release: String,
    image: SourceFile,
    /// By name, as the kernel spells it (`virtio_rng`, never `virtio-rng`).
    modules: BTreeMap<String, Module>,
    builtin: Builtin,
    order: Vec<String>,
}

/// A module that was not built in.
#[derive(Debug, Clone)]
struct Module {
    /// Below `lib/modules/<release>/`: `kernel/drivers/block/virtio_blk.ko.xz`.
    path: String,
    source: SourceFile,
}

/// What is part of the kernel itself.
#[derive(Debug, Clone, Default)]
struct Builtin {
    modules: BTreeSet<String>,
    /// Alias to module.
    aliases: BTreeMap<String, String>,
    /// `modules.builtin` and `modules.builtin.modinfo` as they came, if they did.
    text: Vec<u8>,
    modinfo: Vec<u8>,
}

/// Which modules go into the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleSet {
    /// Those of a written-down list (`kernel/wanted.rs`) that the kernel has, and what they need.
    Chosen,
    /// All that the package brings.
    All,
}

/// What [`Kernel::add_modules`] put into the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedModules {
    /// How many.
    pub modules: usize,
    /// Bytes of their files.
    pub bytes: u64,
}

impl Kernel {
    /// Finds the one kernel among the files of one or more unpacked packages: Debian ships kernel and modules in one package, Ubuntu in two.
    pub fn find(files: &[SourceFile]) -> Result<Self, KernelError> {
        source::find(files)
    }

    /// What `uname -r` will say.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The file with the kernel, as the package brings it (a bzImage on amd64).
    pub fn image(&self) -> &Path {
        &self.image.content
    }

    /// Makes the initrd: an uncompressed cpio archive with `busybox` (a static one, see [`busybox`]), the modules that are needed to
    /// mount an ext4 root file system from a virtio disk, in loading order, and an `/init` that does so and goes on to the `init=` of the command line.
    pub fn initrd(&self, busybox: &[u8], epoch: i64) -> Result<Vec<u8>, KernelError> {
        let mut wanted = Vec::new();
        for module in wanted::INITRD {
            match self.has(module.name) {
                Some(Place::Module) => wanted.push(module.name.to_owned()),
                Some(Place::Builtin) => {}
                None if module.optional => {}
                None => {
                    return Err(KernelError::ModuleMissing {
                        release: self.release.clone(),
                        module: module.name.to_owned(),
                    });
                }
            }
        }
        let closure = Closure::new(self, &wanted)?;
        initrd::write(self, &closure, busybox, epoch).map_err(KernelError::Initrd)
    }

    /// Names of the initrd's modules in loading order.
    pub fn initrd_modules(&self) -> Result<Vec<String>, KernelError> {
        let wanted: Vec<String> = wanted::INITRD
            .iter()
            .filter(|module| self.has(module.name) == Some(Place::Module))
            .map(|module| module.name.to_owned())
            .collect();
        Ok(Closure::new(self, &wanted)?.order().to_vec())
    }

    /// Puts modules under `/lib/modules/<release>` of the image, with the indexes that `modprobe` reads.
    pub fn add_modules(&self, tree: &mut RootTree, set: ModuleSet, epoch: i64) -> Result<AddedModules, KernelError> {
        let wanted: Vec<String> = match set {
            ModuleSet::All => self.modules.keys().cloned().collect(),
            ModuleSet::Chosen => self.modules.keys().filter(|name| wanted::is_chosen(name)).cloned().collect(),
        };
        let closure = Closure::new(self, &wanted)?;
        depmod::add(self, &closure, tree, epoch)
    }

    /// Where a module is; the name may be spelt with `-`.
    fn has(&self, name: &str) -> Option<Place> {
        let name = normal_name(name);
        if self.modules.contains_key(&name) {
            Some(Place::Module)
        } else if self.builtin.modules.contains(&name) {
            Some(Place::Builtin)
        } else {
            None
        }
    }

    fn read_module(&self, name: &str) -> Result<Vec<u8>, KernelError> {
        let module = &self.modules[name];
        source::read_decompressed(&module.source.content, &module.path)
            .map_err(|source| KernelError::ModuleUnreadable { path: module.path.clone(), source })
    }

    fn module_info(&self, name: &str) -> Result<ModuleInfo, KernelError> {
        let path = &self.modules[name].path;
        let unreadable = |reason: String| KernelError::ModuleUnreadable {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, reason),
        };
        ModuleInfo::parse(&self.read_module(name)?).map_err(unreadable)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Module,
    Builtin,
}

/// The kernel counts `-` and `_` as the same, and spells with `_`.
fn normal_name(name: &str) -> String {
    name.replace('-', "_")
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` to `virtio_rng`.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, ending) = file.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| normal_name(name))
}

use std::io;

use miette::Diagnostic;
use smolvm_rootfs::TreeError;
use thiserror::Error;

/// What to do about a bzImage that is none.
const BROKEN: &str = "the kernel's file is damaged or made for another machine: take another one";

/// Why a kernel package did not become something to boot.
#[derive(Debug, Error, Diagnostic)]
pub enum KernelError {
    /// No `vmlinuz`.
    #[error("there is no kernel in the packages: no file `boot/vmlinuz-*`")]
    #[diagnostic(
        code(smolvm::kernel::no_image),
        help(
            "a meta package only depends on the one that has the kernel, such as `linux-image-<version>-cloud-amd64`"
        )
    )]
    NoImage,
    /// More than one `vmlinuz`, or modules for several kernels.
    #[error("the packages hold more than one kernel: {}", found.join(", "))]
    #[diagnostic(code(smolvm::kernel::ambiguous))]
    Ambiguous {
        /// Paths or releases.
        found: Vec<String>,
    },
    /// No `lib/modules`.
    #[error("the packages hold the kernel `{image}`, but no modules for it")]
    #[diagnostic(
        code(smolvm::kernel::no_modules),
        help("Ubuntu keeps them in a package of their own, `linux-modules-<version>`")
    )]
    NoModules {
        /// Path of the kernel.
        image: String,
    },
    /// The initrd needs a module that this kernel has not.
    #[error("the kernel {release} cannot mount the root disk: it has no `{module}`, neither as a module nor built in")]
    #[diagnostic(
        code(smolvm::kernel::module_missing),
        help("use a kernel made for virtual machines, such as Debian's `linux-image-cloud-amd64`")
    )]
    ModuleMissing {
        /// Of the kernel.
        release: String,
        /// Its name.
        module: String,
    },
    /// A module needs another one that is not there.
    #[error("the kernel's module `{module}` needs `{needs}`, and the kernel {release} has no such module")]
    #[diagnostic(
        code(smolvm::kernel::dependency_missing),
        help("the kernel package is incomplete: is a package with more modules missing?")
    )]
    DependencyMissing {
        /// Of the kernel.
        release: String,
        /// The module that cannot be loaded.
        module: String,
        /// What it needs.
        needs: String,
    },
    /// A module's file cannot be read or is no module.
    #[error("cannot read the kernel module `{path}`")]
    #[diagnostic(code(smolvm::kernel::module_unreadable))]
    ModuleUnreadable {
        /// Below `lib/modules/<release>`.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A text that belongs to the modules cannot be read.
    #[error("cannot read a file of the kernel package")]
    #[diagnostic(code(smolvm::kernel::unreadable))]
    Unreadable(#[source] io::Error),
    /// No `busybox`.
    #[error("there is no `bin/busybox` in the package that should bring it")]
    #[diagnostic(code(smolvm::kernel::no_busybox), help("the initrd needs the package `busybox-static`"))]
    NoBusybox,
    /// The busybox needs libraries, which an initrd has not.
    #[error("the busybox for the initrd is not a statically linked program")]
    #[diagnostic(
        code(smolvm::kernel::busybox_not_static),
        help("the initrd needs the package `busybox-static`, not `busybox`")
    )]
    BusyboxNotStatic,
    /// The initrd could not be written.
    #[error("cannot make the initrd")]
    #[diagnostic(code(smolvm::kernel::initrd))]
    Initrd(#[source] io::Error),
    /// A bzImage without one, or one whose end is missing.
    #[error("this bzImage has no payload where its header says so")]
    #[diagnostic(code(smolvm::kernel::no_payload), help("{BROKEN}"))]
    NoPayload,
    /// Packed with something else than gzip, xz, zstd or lz4.
    #[error("the kernel in this bzImage is packed in a way that smolvm does not read: it begins with {begins}")]
    #[diagnostic(
        code(smolvm::kernel::unknown_packing),
        help(
            "use a kernel packed with gzip, xz, zstd or lz4, or name an uncompressed `vmlinux` as the Smolfile's `kernel`"
        )
    )]
    UnknownPacking {
        /// Its first bytes, hex.
        begins: String,
    },
    /// Damaged.
    #[error("the kernel in this bzImage cannot be unpacked")]
    #[diagnostic(code(smolvm::kernel::payload_unreadable), help("{BROKEN}"))]
    PayloadUnreadable(#[source] io::Error),
    /// Something else was packed.
    #[error("what is packed in this bzImage is no kernel for x86-64")]
    #[diagnostic(code(smolvm::kernel::no_elf), help("{BROKEN}"))]
    NoElf,
    /// The image has something else where the modules belong.
    #[error("cannot put the kernel's modules into the image")]
    #[diagnostic(code(smolvm::kernel::modules_in_image))]
    Tree(#[from] TreeError),
}

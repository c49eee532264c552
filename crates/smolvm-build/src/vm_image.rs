//! An image of the store as a virtual machine monitor takes it: with a kernel that it boots, and its boot arguments.

use smolvm_packages::kernel::{Format, vmlinux};
use smolvm_store::{Image, Store};
use smolvm_vm::{VmImage, Vmm, boot_args};

use crate::BuildError;
use crate::error::IoFailure;

/// The image's kernel is of no use to this monitor.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{vmm} boots {boots}, and the kernel of this image is {has}")]
#[diagnostic(
    code(smolvm::build::kernel_for_vmm),
    help("build the image with another kernel: `kernel: auto`, or the other format of the one that it has")
)]
struct KernelForVmm {
    vmm: Vmm,
    boots: &'static str,
    has: &'static str,
}

/// The image for this monitor. A kernel that it does not boot is unpacked, and kept in the store beside the image.
pub fn vm_image(store: &Store, image: &Image, vmm: Vmm) -> Result<VmImage, BuildError> {
    let path = image.kernel();
    let reading =
        |error| BuildError::host(IoFailure { doing: "reading the image's kernel".to_owned(), error, help: None });
    let kernel = std::fs::read(&path).map_err(reading)?;
    let record = image.record();
    let kernel = match need(vmm, Format::of(&kernel)) {
        Need::Nothing => path,
        Need::Unpacking => {
            let unpacked = vmlinux(&kernel).map_err(BuildError::build)?;
            store.keep_unpacked_kernel(image, &unpacked)?
        }
        Need::Another { boots, has } => return Err(BuildError::input(KernelForVmm { vmm, boots, has })),
    };
    Ok(VmImage {
        kernel,
        initrd: image.initrd(),
        rootfs: image.rootfs(),
        arch: record.arch,
        boot_args: boot_args(vmm, record.arch, &record.extra_boot_args),
        ssh: record.ssh,
    })
}

/// What a kernel lacks for a monitor.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Unpacking,
    Another { boots: &'static str, has: &'static str },
}

/// QEMU boots both formats of x86 (the ELF by its PVH entry), of ARM's only the Image. Firecracker and Cloud Hypervisor learnt to boot a bzImage of
/// late, and recommend the ELF; libkrun boots that alone.
const fn need(vmm: Vmm, format: Option<Format>) -> Need {
    use smolvm_manifest::Arch::{Amd64, Arm64};
    match (vmm, format) {
        (Vmm::Qemu, Some(Format::BzImage)) | (_, Some(Format::Elf(Amd64) | Format::ArmImage)) => Need::Nothing,
        (_, Some(Format::BzImage)) => Need::Unpacking,
        (_, Some(Format::Elf(Arm64))) => Need::Another { boots: "an `Image` on 64-bit ARM", has: "an ELF" },
        // A build looks at the format: the file was damaged since.
        (_, None) => Need::Another { boots: "an ELF, a bzImage or an `Image`", has: "none of them: it is damaged" },
    }
}

#[cfg(test)]
mod tests {
    use smolvm_manifest::Arch;

    use super::*;

    #[test]
    fn each_monitor_gets_a_format_that_it_boots() {
        let others = [Vmm::Firecracker, Vmm::CloudHypervisor, Vmm::Libkrun];
        assert_eq!(need(Vmm::Qemu, Some(Format::BzImage)), Need::Nothing);
        for vmm in others {
            assert_eq!(need(vmm, Some(Format::BzImage)), Need::Unpacking, "{vmm}");
        }
        for vmm in others.into_iter().chain([Vmm::Qemu]) {
            assert_eq!(need(vmm, Some(Format::Elf(Arch::Amd64))), Need::Nothing, "{vmm}");
            assert_eq!(need(vmm, Some(Format::ArmImage)), Need::Nothing, "{vmm}");
            assert!(matches!(need(vmm, Some(Format::Elf(Arch::Arm64))), Need::Another { .. }), "{vmm}");
            assert!(matches!(need(vmm, None), Need::Another { .. }), "{vmm}");
        }
    }
}

//! The universal kernel that the SmolVM project publishes, Linux 6.12.85: no modules, no initrd, one file for each architecture and format.

use smolvm_manifest::Arch;

use super::format::Format;

/// The archive's name, for `mirrors` in the configuration and `SMOLVM_MIRROR_SMOLVM_KERNEL`.
pub const ARCHIVE: &str = "smolvm-kernel";
/// Where its files are: the release `images-2026.06.30.0` of the SmolVM project.
pub const ADDRESS: &str = "https://github.com/CelestoAI/SmolVM/releases/download/images-2026.06.30.0";

/// One file of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedKernel {
    /// The architecture.
    pub arch: Arch,
    /// The format: ELF for Firecracker, the other for QEMU.
    pub format: Format,
    /// Below [`ADDRESS`].
    pub file: &'static str,
    /// What it hashes to, hex.
    pub sha256: &'static str,
}

/// ELF and the other format, for each architecture.
static TABLE: [PublishedKernel; 4] = [
    PublishedKernel {
        arch: Arch::Amd64,
        format: Format::Elf(Arch::Amd64),
        file: "vmlinux-amd64.elf",
        sha256: "d39c47b5f1d9bc797871d4f120e4496ad11e0540e3a6bcf1a4544b1640eee014",
    },
    PublishedKernel {
        arch: Arch::Amd64,
        format: Format::BzImage,
        file: "vmlinux-amd64.image",
        sha256: "a7a8da6ad55236edccbdd1015eda023d68a4879be648a348462119138de54cb3",
    },
    PublishedKernel {
        arch: Arch::Arm64,
        format: Format::Elf(Arch::Arm64),
        file: "vmlinux-arm64.elf",
        sha256: "d6e8c9a0e1123691fe9cb648b275cca7dbe176798b033ddb45405209d42c32d3",
    },
    PublishedKernel {
        arch: Arch::Arm64,
        format: Format::ArmImage,
        file: "vmlinux-arm64.image",
        sha256: "99e2f80dc54653bd7d5f74a59c8c5c765fea52f23e664ca50021782da5f3fa7f",
    },
];

/// The file that QEMU boots on this architecture.
pub fn for_qemu(arch: Arch) -> &'static PublishedKernel {
    let [_, amd64, _, arm64] = &TABLE;
    match arch {
        Arch::Amd64 => amd64,
        Arch::Arm64 => arm64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_both_formats_and_its_own_digests() {
        for arch in Arch::ALL {
            let kernel = for_qemu(arch);
            assert_eq!((kernel.arch, kernel.format.arch()), (arch, arch));
            assert!(!matches!(kernel.format, Format::Elf(_)));
            assert!(TABLE.iter().any(|kernel| kernel.format == Format::Elf(arch)));
        }
        for (index, kernel) in TABLE.iter().enumerate() {
            assert!(kernel.sha256.len() == 64 && kernel.sha256.chars().all(|digit| digit.is_ascii_hexdigit()));
            assert!(kernel.file.contains(kernel.arch.as_str()));
            assert!(TABLE[..index].iter().all(|other| other.sha256 != kernel.sha256));
        }
    }
}

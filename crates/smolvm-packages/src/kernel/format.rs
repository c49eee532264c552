//! What a kernel file is: told by its magic, never by its name.

use object::read::elf::FileHeader as _;
use object::{Endianness, elf};
use smolvm_manifest::Arch;

/// The formats that virtual machine monitors boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An uncompressed kernel, `vmlinux`.
    Elf(Arch),
    /// A compressed kernel for x86. Linux, Documentation/arch/x86/boot.rst: `HdrS` at 0x202.
    BzImage,
    /// An uncompressed kernel for 64-bit ARM. Linux, Documentation/arch/arm64/booting.rst: `ARM\x64` at 56.
    ArmImage,
}

impl Format {
    /// The format of a file; none for what is no kernel of an architecture that smolvm knows.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.get(0x202..0x206) == Some(b"HdrS") {
            return Some(Self::BzImage);
        }
        if bytes.get(56..60) == Some(b"ARM\x64") {
            return Some(Self::ArmImage);
        }
        let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
        match header.e_machine(header.endian().ok()?) {
            elf::EM_X86_64 => Some(Self::Elf(Arch::Amd64)),
            elf::EM_AARCH64 => Some(Self::Elf(Arch::Arm64)),
            _ => None,
        }
    }

    /// The architecture whose machines boot it.
    pub const fn arch(self) -> Arch {
        match self {
            Self::Elf(arch) => arch,
            Self::BzImage => Arch::Amd64,
            Self::ArmImage => Arch::Arm64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(at: usize, magic: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    }

    /// An ELF header of this machine number, little-endian, 64 bits.
    fn elf_header(machine: u8) -> Vec<u8> {
        let mut bytes = file(0, b"\x7fELF\x02\x01\x01");
        bytes[16] = 2;
        bytes[18] = machine;
        bytes[20] = 1;
        bytes
    }

    #[test]
    fn the_magic_tells() {
        let table = [
            (file(0x202, b"HdrS"), Some(Format::BzImage)),
            (file(56, b"ARM\x64"), Some(Format::ArmImage)),
            (elf_header(62), Some(Format::Elf(Arch::Amd64))),
            (elf_header(183), Some(Format::Elf(Arch::Arm64))),
            // RISC-V.
            (elf_header(243), None),
            (file(0, b"\x1f\x8b"), None),
            (Vec::new(), None),
            (b"<!DOCTYPE html>".to_vec(), None),
        ];
        for (bytes, expected) in table {
            assert_eq!(Format::of(&bytes), expected, "{:02x?}", &bytes[..bytes.len().min(24)]);
        }
    }
}

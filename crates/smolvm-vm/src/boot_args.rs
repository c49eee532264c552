//! The kernel command line that each VMM needs.

use std::fmt;

use smolvm_manifest::Arch;

/// A virtual machine monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vmm {
    /// Firecracker: no PCI, ends on reset.
    Firecracker,
    /// QEMU, machines q35 and virt.
    Qemu,
    /// Cloud Hypervisor.
    CloudHypervisor,
    /// libkrun.
    Libkrun,
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firecracker => "Firecracker",
            Self::Qemu => "QEMU",
            Self::CloudHypervisor => "Cloud Hypervisor",
            Self::Libkrun => "libkrun",
        })
    }
}

/// The words of the kernel command line, with those of the Smolfile's `boot.args` at the end.
pub fn boot_args(vmm: Vmm, arch: Arch, extra: &[String]) -> String {
    let console = match (vmm, arch) {
        // libkrun's console is virtio's.
        (Vmm::Libkrun, _) => "console=hvc0",
        // Firecracker has a 16550 on both; the others have a PL011 on ARM.
        (Vmm::Firecracker, _) | (_, Arch::Amd64) => "console=ttyS0",
        (Vmm::Qemu | Vmm::CloudHypervisor, Arch::Arm64) => "console=ttyAMA0",
    };
    let mut words = vec![console, "reboot=k", "panic=1"];
    if vmm == Vmm::Firecracker {
        words.push("pci=off");
    }
    words.extend(["root=/dev/vda", "rw", "init=/init"]);
    words.extend(extra.iter().map(String::as_str));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vmm_and_architecture_gets_exactly_its_words() {
        let cases = [
            (Vmm::Firecracker, Arch::Amd64, "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw init=/init"),
            (Vmm::Firecracker, Arch::Arm64, "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw init=/init"),
            (Vmm::Qemu, Arch::Amd64, "console=ttyS0 reboot=k panic=1 root=/dev/vda rw init=/init"),
            (Vmm::Qemu, Arch::Arm64, "console=ttyAMA0 reboot=k panic=1 root=/dev/vda rw init=/init"),
            (Vmm::CloudHypervisor, Arch::Amd64, "console=ttyS0 reboot=k panic=1 root=/dev/vda rw init=/init"),
            (Vmm::CloudHypervisor, Arch::Arm64, "console=ttyAMA0 reboot=k panic=1 root=/dev/vda rw init=/init"),
            (Vmm::Libkrun, Arch::Amd64, "console=hvc0 reboot=k panic=1 root=/dev/vda rw init=/init"),
            (Vmm::Libkrun, Arch::Arm64, "console=hvc0 reboot=k panic=1 root=/dev/vda rw init=/init"),
        ];
        for (vmm, arch, expected) in cases {
            assert_eq!(boot_args(vmm, arch, &[]), expected, "{vmm:?} {arch}");
        }
    }

    #[test]
    fn the_smolfiles_words_come_last() {
        let words = boot_args(Vmm::Qemu, Arch::Amd64, &["quiet".to_owned(), "loglevel=3".to_owned()]);
        assert!(words.ends_with("init=/init quiet loglevel=3"), "{words}");
    }
}

//! QEMU's command line.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use smolvm_manifest::Arch;

use crate::accelerator::Accelerator;
use crate::error::VmError;
use crate::machine::VmImage;

/// What differs between the architectures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flavour {
    pub(crate) program: &'static str,
    pub(crate) machine: &'static str,
    /// The processor that is emulated where KVM is not to be had.
    emulated_cpu: &'static str,
    debian: &'static str,
    fedora: &'static str,
    /// How long a command line the kernel takes.
    pub(crate) boot_args_limit: usize,
}

impl Flavour {
    pub(crate) const fn of(arch: Arch) -> Self {
        match arch {
            Arch::Amd64 => Self {
                program: "qemu-system-x86_64",
                machine: "q35",
                // Five levels of page tables cost an emulated boot a quarter of its time.
                emulated_cpu: "max,la57=off",
                debian: "qemu-system-x86",
                fedora: "qemu-system-x86",
                boot_args_limit: 2047,
            },
            Arch::Arm64 => Self {
                program: "qemu-system-aarch64",
                machine: "virt,gic-version=max",
                // `max` emulates pointer authentication, whose cipher is slow.
                emulated_cpu: "cortex-a72",
                debian: "qemu-system-arm",
                fedora: "qemu-system-aarch64",
                boot_args_limit: 2047,
            },
        }
    }

    pub(crate) const fn cpu(&self, accelerator: Accelerator) -> &'static str {
        match accelerator {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => self.emulated_cpu,
        }
    }

    pub(crate) const fn missing(&self) -> VmError {
        VmError::QemuMissing { program: self.program, debian: self.debian, fedora: self.fedora }
    }
}

/// Everything that decides a command line.
#[derive(Debug)]
pub(crate) struct CommandLine<'a> {
    pub(crate) image: &'a VmImage,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) accelerator: Accelerator,
    pub(crate) boot_args: &'a str,
    pub(crate) console_log: &'a Path,
    /// The port of this machine's loopback that leads to the guest's SSH.
    pub(crate) ssh_port: u16,
}

impl CommandLine<'_> {
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let flavour = Flavour::of(self.image.arch);
        let mut arguments = Vec::new();
        let mut add = |words: &[&OsStr]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        let option = |name: &'static str, value: &str| [OsString::from(name), OsString::from(value)];
        for [name, value] in [
            option("-machine", flavour.machine),
            option("-accel", self.accelerator.option()),
            option("-cpu", flavour.cpu(self.accelerator)),
            option("-smp", &self.cpus.to_string()),
            option("-m", &format!("{}M", self.memory_mib)),
            option("-display", "none"),
            option("-device", "virtio-blk-pci,drive=root"),
            option("-netdev", &format!("user,id=net,hostfwd=tcp:127.0.0.1:{}-:22", self.ssh_port)),
            // Without its boot ROM, which nobody boots from.
            option("-device", "virtio-net-pci,netdev=net,romfile="),
            option("-device", "virtio-rng-pci"),
            option("-serial", "chardev:console"),
            option("-append", self.boot_args),
        ] {
            add(&[&name, &value]);
        }
        // A reset ends QEMU, so that a panic (`panic=1`) is not a loop.
        add(&["-nodefaults".as_ref(), "-no-user-config".as_ref(), "-no-reboot".as_ref()]);
        add(&["-kernel".as_ref(), self.image.kernel.as_os_str()]);
        if let Some(initrd) = &self.image.initrd {
            add(&["-initrd".as_ref(), initrd.as_os_str()]);
        }
        // `snapshot=on`: the file is opened for reading alone, and what the guest writes goes to an unlinked temporary
        // file. Nobody will read that again, so the guest's flushes need not reach the disk.
        let drive = file_option("id=root,if=none,format=raw,snapshot=on,cache=unsafe,file=", &self.image.rootfs);
        add(&["-drive".as_ref(), &drive]);
        add(&["-chardev".as_ref(), &file_option("file,id=console,path=", self.console_log)]);
        arguments
    }
}

/// An option whose last value is a path, in which QEMU wants commas doubled.
fn file_option(start: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut option = start.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        option.push(byte);
        if byte == b',' {
            option.push(byte);
        }
    }
    OsString::from_vec(option)
}

#[cfg(test)]
mod tests;

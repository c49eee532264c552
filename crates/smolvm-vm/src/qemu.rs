//! QEMU's command line.

use std::ffi::OsString;
use std::path::Path;

use smolvm_manifest::Arch;

use crate::accelerator::Accelerator;
use crate::error::VmError;
use crate::hardware::{Forward, Hardware, Share};
use crate::machine::VmImage;

/// What differs between the architectures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flavour {
    pub(crate) program: &'static str,
    pub(crate) machine: &'static str,
    /// The processor that is emulated where KVM is not to be had.
    emulated_cpu: &'static str,
    install: &'static str,
}

impl Flavour {
    pub(crate) const fn of(arch: Arch) -> Self {
        match arch {
            Arch::Amd64 => Self {
                program: "qemu-system-x86_64",
                machine: "q35",
                // Five levels of page tables cost an emulated boot a quarter of its time.
                emulated_cpu: "max,la57=off",
                install: "Debian, Ubuntu: sudo apt install qemu-system-x86\nFedora: sudo dnf install qemu-system-x86\nmacOS: brew install qemu",
            },
            Arch::Arm64 => Self {
                program: "qemu-system-aarch64",
                machine: "virt,gic-version=max",
                // `max` emulates pointer authentication, whose cipher is slow.
                emulated_cpu: "cortex-a72",
                install: "Debian, Ubuntu: sudo apt install qemu-system-arm\nFedora: sudo dnf install qemu-system-aarch64\nmacOS: brew install qemu",
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
        VmError::VmmMissing { program: self.program, install: self.install }
    }
}

/// What QEMU's user network gives a guest: address, gateway, netmask, device, name server.
pub(crate) const NETWORK: &str = "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3";

/// Where the guest's serial console goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Console<'a> {
    File(&'a Path),
    /// QEMU's own standard streams.
    Terminal,
}

/// Everything that decides a command line.
#[derive(Debug)]
pub(crate) struct CommandLine<'a> {
    pub(crate) image: &'a VmImage,
    pub(crate) hardware: Hardware,
    pub(crate) accelerator: Accelerator,
    pub(crate) boot_args: &'a str,
    pub(crate) console: Console<'a>,
    /// A disk to write on; without one, what is written is thrown away.
    pub(crate) kept_disk: Option<&'a Path>,
    pub(crate) forwards: &'a [Forward],
    pub(crate) shares: &'a [Share],
}

impl CommandLine<'_> {
    /// The program's arguments: an option and its value, or an option that has none.
    pub(crate) fn arguments(&self) -> Vec<Vec<OsString>> {
        let flavour = Flavour::of(self.image.arch);
        let forwards = self.forwards.iter().map(|Forward { host, guest }| format!(",hostfwd=tcp:{host}-:{guest}"));
        let network: String = ["user,id=net".to_owned()].into_iter().chain(forwards).collect();
        let option = |name: &str, value: &str| vec![OsString::from(name), OsString::from(value)];
        let file = |name: &str, path: &Path| vec![OsString::from(name), path.as_os_str().to_owned()];
        let mut arguments = vec![
            option("-machine", flavour.machine),
            option("-accel", self.accelerator.option()),
            option("-cpu", flavour.cpu(self.accelerator)),
            option("-smp", &self.hardware.cpus.to_string()),
            option("-m", &format!("{}M", self.hardware.memory_mib)),
            option("-display", "none"),
            vec!["-nodefaults".into()],
            vec!["-no-user-config".into()],
            // A reset ends QEMU, so that a panic (`panic=1`) is not a loop.
            vec!["-no-reboot".into()],
            file("-kernel", &self.image.kernel),
        ];
        arguments.extend(self.image.initrd.iter().map(|initrd| file("-initrd", initrd)));
        arguments.push(option("-append", self.boot_args));
        arguments.push(vec!["-drive".into(), self.drive()]);
        arguments.push(option("-device", "virtio-blk-pci,drive=root"));
        arguments.push(option("-netdev", &network));
        // Without its boot ROM, which nobody boots from.
        arguments.push(option("-device", "virtio-net-pci,netdev=net,romfile="));
        arguments.push(option("-device", "virtio-rng-pci"));
        for (number, share) in self.shares.iter().enumerate() {
            let read_only = if share.read_only { ",readonly=on" } else { "" };
            // What the guest's root writes belongs to whoever runs QEMU, if that is not root.
            let start = format!("local,id=share{number},security_model=none{read_only},path=");
            arguments.push(vec!["-fsdev".into(), file_option(&start, &share.folder)]);
            let tag = Share::tag(number);
            arguments.push(option("-device", &format!("virtio-9p-pci,fsdev=share{number},mount_tag={tag}")));
        }
        match self.console {
            Console::File(log) => {
                arguments.push(vec!["-chardev".into(), file_option("file,id=console,path=", log)]);
                arguments.push(option("-serial", "chardev:console"));
            }
            Console::Terminal => arguments.push(option("-serial", "stdio")),
        }
        arguments
    }

    /// `snapshot=on`: the image's file is opened for reading alone, and what the guest writes goes to an unlinked temporary file. Nobody will
    /// read that again, so the guest's flushes need not reach the disk.
    fn drive(&self) -> OsString {
        let throwaway = ("snapshot=on,cache=unsafe,", &*self.image.rootfs);
        let (options, file) = self.kept_disk.map_or(throwaway, |disk| ("", disk));
        file_option(&format!("id=root,if=none,format=raw,{options}file="), file)
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

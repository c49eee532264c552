//! The initrd as an archive.

use std::io;

use smolvm_rootfs::{CpioWriter, DeviceKind};

use super::closure::Closure;
use super::{Kernel, KernelError};

/// Run by busybox as the first process.
const INIT: &str = include_str!("init.sh");

pub(super) fn write(kernel: &Kernel, closure: &Closure, busybox: &[u8], epoch: i64) -> io::Result<Vec<u8>> {
    let mut archive = CpioWriter::new(Vec::with_capacity(busybox.len() + (4 << 20)), epoch);
    for folder in ["bin", "dev", "modules", "newroot", "proc"] {
        archive.directory(folder, 0o755)?;
    }
    // What /init prints before it mounts /dev goes here.
    archive.device("dev/console", 0o600, DeviceKind::Char, 5, 1)?;
    archive.file("bin/busybox", 0o755, busybox)?;
    archive.file("init", 0o755, INIT.as_bytes())?;
    for (number, name) in closure.order().iter().enumerate() {
        let bytes = kernel.read_module(name).map_err(unreadable)?;
        archive.file(&format!("modules/{number:03}-{name}.ko"), 0o644, &bytes)?;
    }
    archive.finish()
}

fn unreadable(error: KernelError) -> io::Error {
    io::Error::other(error)
}

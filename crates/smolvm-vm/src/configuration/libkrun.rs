//! libkrun, a library without a program of its own: the file that SmolVM's launcher reads (`python -m smolvm.runtime._libkrun_launcher FILE`,
//! package `smolvm` 0.0.36 for Python). Each value is an argument of one of libkrun's functions (include/libkrun.h): `krun_set_vm_config`, `krun_set_kernel`,
//! `krun_set_root_disk`.

use serde_json::{Value, json};
use smolvm_manifest::Arch;

use super::Wish;
use crate::error::VmError;

pub(super) const NEEDS: &str = "libkrun, and SmolVM's launcher or a program that calls the same functions. The address is that of gvproxy's \
     network (macOS)";

/// `KRUN_KERNEL_FORMAT_RAW` and `KRUN_KERNEL_FORMAT_ELF`.
const RAW: u32 = 0;
const ELF: u32 = 1;

/// The network that gvproxy makes.
const NETWORK: &str = "ip=192.168.127.2::192.168.127.1:255.255.255.0::eth0:off:192.168.127.1";

pub(super) fn config(wish: &Wish<'_>) -> Result<Value, VmError> {
    let mut config = json!({
        "vcpus": wish.hardware.cpus,
        "memory_mib": wish.hardware.memory_mib,
        "kernel_path": wish.text(&wish.image.kernel)?,
        "kernel_format": match wish.image.arch {
            Arch::Amd64 => ELF,
            Arch::Arm64 => RAW,
        },
        "cmdline": format!("{} {NETWORK}", wish.image.boot_args),
        "rootfs_path": wish.text(wish.disk)?,
    });
    if let Some(initrd) = wish.initrd()? {
        config["initrd_path"] = json!(initrd);
    }
    Ok(config)
}

//! Firecracker: a file for `--config-file`. Fields and types are those of its API, version 1.17 (src/firecracker/swagger/firecracker.yaml in
//! Firecracker's repository); the file holds the bodies of its requests.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::Wish;
use crate::error::VmError;

/// The guest's address where nothing else is said.
pub(super) const GUEST: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 2);

pub(super) const NEEDS: &str = "the network device tap0 with the address 172.16.0.1/24; the guest is 172.16.0.2. \
     With the distribution's kernel it takes Firecracker 1.8 or newer. Start it with: firecracker --no-api --config-file FILE";

/// The configuration of a machine on this network device.
pub(crate) fn config(wish: &Wish<'_>, tap: &str, guest: Ipv4Addr) -> Result<Value, VmError> {
    let mut boot_source = json!({
        "kernel_image_path": wish.text(&wish.image.kernel)?,
        "boot_args": wish.image.boot_args,
    });
    if let Some(initrd) = wish.initrd()? {
        boot_source["initrd_path"] = json!(initrd);
    }
    Ok(json!({
        "boot-source": boot_source,
        "drives": [{
            "drive_id": "root",
            "path_on_host": wish.text(wish.disk)?,
            "is_root_device": true,
            "is_read_only": false,
        }],
        "machine-config": {
            "vcpu_count": wish.hardware.cpus,
            "mem_size_mib": wish.hardware.memory_mib,
        },
        "network-interfaces": [{
            "iface_id": "eth0",
            "host_dev_name": tap,
            "guest_mac": mac(guest),
        }],
    }))
}

/// A locally administered address with the IPv4 address in its last four bytes, as Firecracker's own documentation makes them.
pub(super) fn mac(guest: Ipv4Addr) -> String {
    let [a, b, c, d] = guest.octets();
    format!("06:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

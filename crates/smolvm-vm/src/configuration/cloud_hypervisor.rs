//! Cloud Hypervisor's command line.

use super::{TAP, Wish, command_line, firecracker};
use crate::error::VmError;

pub(super) const NEEDS: &str = "the network device tap0 with the address 172.16.0.1/24; the guest is 172.16.0.2";

pub(super) fn command(wish: &Wish<'_>) -> Result<String, VmError> {
    let disk = wish.text(wish.disk)?;
    if disk.contains([',', '"', '[', ']']) {
        return Err(wish.refuse(wish.disk, "its options know no commas, quotes and brackets in a path"));
    }
    let option = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut options = vec![
        option("--cpus", &format!("boot={}", wish.hardware.cpus)),
        option("--memory", &format!("size={}M", wish.hardware.memory_mib)),
        option("--kernel", wish.text(&wish.image.kernel)?),
    ];
    options.extend(wish.initrd()?.map(|initrd| option("--initramfs", initrd)));
    options.push(option("--cmdline", &wish.image.boot_args));
    options.push(option("--disk", &format!("path={disk}")));
    options.push(option("--net", &format!("tap={TAP},mac={}", firecracker::mac(firecracker::GUEST))));
    options.push(option("--serial", "tty"));
    options.push(option("--console", "off"));
    Ok(command_line("cloud-hypervisor", &options))
}

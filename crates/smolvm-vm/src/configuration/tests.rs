use serde_json::json;
use smolvm_manifest::Arch;

use super::*;
use crate::boot_args::boot_args;

fn image(vmm: Vmm, arch: Arch, initrd: Option<&str>) -> VmImage {
    VmImage {
        kernel: "/store/kernel".into(),
        initrd: initrd.map(Into::into),
        rootfs: "/store/it's/rootfs.ext4".into(),
        arch,
        boot_args: boot_args(vmm, arch, &[]),
        ssh: true,
    }
}

const HARDWARE: Hardware = Hardware { memory_mib: 1024, cpus: 2 };

fn written_for(vmm: Vmm, arch: Arch, initrd: Option<&str>) -> Configuration {
    let image = image(vmm, arch, initrd);
    let wish = Wish { vmm, image: &image, hardware: HARDWARE, disk: "dev.ext4".as_ref() };
    Configuration::with(&wish, Accelerator::Tcg).unwrap()
}

fn json_of(configuration: Configuration) -> Value {
    let Text::Json(value) = configuration.text else { panic!("{configuration:?}") };
    value
}

#[test]
fn qemu_on_amd64() {
    let Text::Command(command) = written_for(Vmm::Qemu, Arch::Amd64, Some("/store/initrd")).text else { panic!() };
    let expected = r"qemu-system-x86_64 \
  -machine q35 \
  -accel tcg,thread=multi \
  -cpu max,la57=off \
  -smp 2 \
  -m 1024M \
  -display none \
  -nodefaults \
  -no-user-config \
  -no-reboot \
  -kernel /store/kernel \
  -initrd /store/initrd \
  -append 'console=ttyS0 reboot=k panic=1 root=/dev/vda rw init=/init ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3' \
  -drive 'id=root,if=none,format=raw,snapshot=on,cache=unsafe,file=/store/it'\''s/rootfs.ext4' \
  -device virtio-blk-pci,drive=root \
  -netdev user,id=net,hostfwd=tcp:127.0.0.1:2222-:22 \
  -device virtio-net-pci,netdev=net,romfile= \
  -device virtio-rng-pci \
  -serial stdio
";
    assert_eq!(command, expected);
}

#[test]
fn firecracker_with_and_without_an_initrd() {
    let expected = json!({
        "boot-source": {
            "kernel_image_path": "/store/kernel",
            "boot_args": "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw init=/init",
            "initrd_path": "/store/initrd",
        },
        "drives": [{"drive_id": "root", "path_on_host": "dev.ext4", "is_root_device": true, "is_read_only": false}],
        "machine-config": {"vcpu_count": 2, "mem_size_mib": 1024},
        "network-interfaces": [{"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": "06:00:ac:10:00:02"}],
    });
    let with_initrd = written_for(Vmm::Firecracker, Arch::Amd64, Some("/store/initrd"));
    assert_eq!(with_initrd.disk, Some("dev.ext4".into()));
    assert_eq!(json_of(with_initrd), expected);
    let without = json_of(written_for(Vmm::Firecracker, Arch::Arm64, None));
    assert_eq!(without["boot-source"].get("initrd_path"), None);
}

#[test]
fn cloud_hypervisor_on_arm64() {
    let configuration = written_for(Vmm::CloudHypervisor, Arch::Arm64, Some("/store/initrd"));
    let expected = r"cloud-hypervisor \
  --cpus boot=2 \
  --memory size=1024M \
  --kernel /store/kernel \
  --initramfs /store/initrd \
  --cmdline 'console=ttyAMA0 reboot=k panic=1 root=/dev/vda rw init=/init' \
  --disk path=dev.ext4 \
  --net tap=tap0,mac=06:00:ac:10:00:02 \
  --serial tty \
  --console off
";
    assert_eq!(configuration.text, Text::Command(expected.to_owned()));
}

#[test]
fn libkrun_knows_the_kernels_format() {
    let amd64 = json_of(written_for(Vmm::Libkrun, Arch::Amd64, Some("/store/initrd")));
    let network = "ip=192.168.127.2::192.168.127.1:255.255.255.0::eth0:off:192.168.127.1";
    let expected = json!({
        "vcpus": 2,
        "memory_mib": 1024,
        "kernel_path": "/store/kernel",
        "kernel_format": 1,
        "cmdline": format!("console=hvc0 reboot=k panic=1 root=/dev/vda rw init=/init {network}"),
        "rootfs_path": "dev.ext4",
        "initrd_path": "/store/initrd",
    });
    assert_eq!(amd64, expected);
    let arm64 = json_of(written_for(Vmm::Libkrun, Arch::Arm64, None));
    assert_eq!((&arm64["kernel_format"], arm64.get("initrd_path")), (&json!(0), None));
}

#[test]
fn none_names_the_images_own_root_file_system_to_be_written_on() {
    for arch in Arch::ALL {
        for vmm in [Vmm::Qemu, Vmm::Firecracker, Vmm::CloudHypervisor, Vmm::Libkrun] {
            let configuration = written_for(vmm, arch, Some("/store/initrd"));
            let text = match &configuration.text {
                Text::Command(text) => text.clone(),
                Text::Json(value) => value.to_string(),
            };
            let names = text.contains("rootfs.ext4");
            assert_eq!(names, configuration.disk.is_none(), "{vmm} {arch}: {text}");
            assert!(!names || text.contains("snapshot=on"), "{vmm} {arch}: {text}");
            assert!(text.contains("/store/initrd"), "{vmm} {arch}: {text}");
        }
    }
}

#[test]
fn paths_that_cannot_be_written_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let raw = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
    for (vmm, disk) in [
        (Vmm::Firecracker, raw),
        (Vmm::Libkrun, raw),
        (Vmm::CloudHypervisor, raw),
        (Vmm::CloudHypervisor, Path::new("a,b")),
        (Vmm::Firecracker, Path::new("/store/it's/rootfs.ext4")),
    ] {
        let image = image(vmm, Arch::Amd64, None);
        let refused = Configuration::with(&Wish { vmm, image: &image, hardware: HARDWARE, disk }, Accelerator::Tcg);
        assert!(matches!(&refused, Err(VmError::Path { path, .. }) if path == disk), "{refused:?}");
    }
}

use super::*;

fn line(arch: Arch, initrd: Option<&str>, accelerator: Accelerator) -> String {
    let image = VmImage {
        kernel: "/store/vmlinuz".into(),
        initrd: initrd.map(Into::into),
        rootfs: "/store/a,b=c/rootfs.ext4".into(),
        arch,
        boot_args: String::new(),
        ssh: true,
    };
    let arguments = CommandLine {
        image: &image,
        memory_mib: 512,
        cpus: 2,
        accelerator,
        boot_args: "console=ttyS0 init=/init a=b,c",
        console_log: "/logs/x,y.log".as_ref(),
        ssh_port: 2222,
    }
    .arguments();
    arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn amd64() {
    let expected = "-machine q35 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 512M -display none \
        -device virtio-blk-pci,drive=root -netdev user,id=net,hostfwd=tcp:127.0.0.1:2222-:22 \
        -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci -serial chardev:console \
        -append console=ttyS0 init=/init a=b,c -nodefaults -no-user-config -no-reboot \
        -kernel /store/vmlinuz -initrd /store/initrd \
        -drive id=root,if=none,format=raw,snapshot=on,cache=unsafe,file=/store/a,,b=c/rootfs.ext4 \
        -chardev file,id=console,path=/logs/x,,y.log";
    assert_eq!(line(Arch::Amd64, Some("/store/initrd"), Accelerator::Tcg), expected);
}

#[test]
fn arm64_with_kvm_and_without_an_initrd() {
    let line = line(Arch::Arm64, None, Accelerator::Kvm);
    assert!(line.starts_with("-machine virt,gic-version=max -accel kvm -cpu host "), "{line}");
    assert!(!line.contains("-initrd"), "{line}");
}

#[test]
fn the_root_file_system_is_never_opened_for_writing() {
    for arch in Arch::ALL {
        assert!(line(arch, None, Accelerator::Tcg).contains("snapshot=on"), "{arch}");
    }
}

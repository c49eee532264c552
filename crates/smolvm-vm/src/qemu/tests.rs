use super::*;

fn line(arch: Arch, initrd: Option<&str>, accelerator: Accelerator, kept_disk: Option<&Path>) -> String {
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
        hardware: Hardware { memory_mib: 512, cpus: 2 },
        accelerator,
        boot_args: "console=ttyS0 init=/init a=b,c",
        console: Console::File("/logs/x,y.log".as_ref()),
        kept_disk,
        forwards: &["2222:22".parse().unwrap(), "0.0.0.0:8080:80".parse().unwrap()],
        shares: &["/a,b:/mnt".parse().unwrap(), "c:/c:ro".parse().unwrap()],
    }
    .arguments();
    arguments.concat().iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn amd64() {
    let expected = "-machine q35 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 512M -display none \
        -nodefaults -no-user-config -no-reboot \
        -kernel /store/vmlinuz -initrd /store/initrd -append console=ttyS0 init=/init a=b,c \
        -drive id=root,if=none,format=raw,snapshot=on,cache=unsafe,file=/store/a,,b=c/rootfs.ext4 \
        -device virtio-blk-pci,drive=root \
        -netdev user,id=net,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:0.0.0.0:8080-:80 \
        -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
        -fsdev local,id=share0,security_model=none,path=/a,,b -device virtio-9p-pci,fsdev=share0,mount_tag=smolvm0 \
        -fsdev local,id=share1,security_model=none,readonly=on,path=c \
        -device virtio-9p-pci,fsdev=share1,mount_tag=smolvm1 \
        -chardev file,id=console,path=/logs/x,,y.log -serial chardev:console";
    assert_eq!(line(Arch::Amd64, Some("/store/initrd"), Accelerator::Tcg, None), expected);
}

#[test]
fn arm64_with_kvm_and_without_an_initrd() {
    let line = line(Arch::Arm64, None, Accelerator::Kvm, None);
    assert!(line.starts_with("-machine virt,gic-version=max -accel kvm -cpu host "), "{line}");
    assert!(!line.contains("-initrd"), "{line}");
}

#[test]
fn the_images_root_file_system_is_never_opened_for_writing() {
    for arch in Arch::ALL {
        assert!(line(arch, None, Accelerator::Tcg, None).contains("snapshot=on"), "{arch}");
        let kept = line(arch, None, Accelerator::Tcg, Some("/home/dev.ext4".as_ref()));
        assert!(!kept.contains("rootfs.ext4") && !kept.contains("snapshot") && !kept.contains("unsafe"), "{kept}");
        assert!(kept.contains("format=raw,file=/home/dev.ext4"), "{kept}");
    }
}

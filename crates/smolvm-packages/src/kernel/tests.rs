use std::io::Write;

use smolvm_rootfs::{Content, Inode, Kind, digest};

use super::*;

const RELEASE: &str = "6.1.0-9-test";

/// The files of a kernel package that is made up.
struct Package {
    folder: tempfile::TempDir,
    files: Vec<SourceFile>,
}

impl Package {
    fn new() -> Self {
        let mut package = Self { folder: tempfile::tempdir().unwrap(), files: Vec::new() };
        package.file(&format!("boot/vmlinuz-{RELEASE}"), b"kernel");
        package
    }

    fn file(&mut self, path: &str, bytes: &[u8]) {
        let content = self.folder.path().join(self.files.len().to_string());
        fs_err::write(&content, bytes).unwrap();
        self.files.push(SourceFile { path: path.to_owned(), content, size: bytes.len() as u64, mtime: 100 });
    }

    /// Adds a module, compressed as its path's ending says.
    fn module(&mut self, path: &str, modinfo: &[&str]) {
        let module = module_with(modinfo);
        let bytes = match path.rsplit('.').next() {
            Some("xz") => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(&module).unwrap();
                encoder.finish().unwrap()
            }
            Some("zst") => zstd::encode_all(&module[..], 1).unwrap(),
            Some("gz") => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&module).unwrap();
                encoder.finish().unwrap()
            }
            _ => module,
        };
        self.file(&format!("lib/modules/{RELEASE}/kernel/{path}"), &bytes);
    }

    fn builtin(&mut self, modules: &[&str], modinfo: &[&str]) {
        let lines: Vec<String> = modules.iter().map(|module| format!("kernel/{module}.ko")).collect();
        self.file(&format!("lib/modules/{RELEASE}/modules.builtin"), lines.join("\n").as_bytes());
        self.file(&format!("lib/modules/{RELEASE}/modules.builtin.modinfo"), (modinfo.join("\0") + "\0").as_bytes());
    }

    fn kernel(&self) -> Kernel {
        Kernel::find(&self.files).unwrap()
    }
}

/// An ELF file that holds nothing but the section `.modinfo`.
fn module_with(modinfo: &[&str]) -> Vec<u8> {
    const HEADER: usize = 64;
    let info = modinfo.join("\0") + "\0";
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([0; 16]);
    elf.extend(((HEADER + info.len() + names.len()) as u64).to_le_bytes());
    elf.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
    elf.extend(info.as_bytes());
    elf.extend(names);
    for (name, kind, offset, size) in
        [(0_u32, 0_u32, 0, 0), (1, 1, HEADER, info.len()), (10, 3, HEADER + info.len(), names.len())]
    {
        elf.extend(name.to_le_bytes());
        elf.extend(kind.to_le_bytes());
        elf.extend([0; 16]);
        elf.extend((offset as u64).to_le_bytes());
        elf.extend((size as u64).to_le_bytes());
        elf.extend([0; 8]);
        elf.extend(1_u64.to_le_bytes());
        elf.extend([0; 8]);
    }
    elf
}

/// The modules of a kernel in which nothing is built in.
fn modular() -> Package {
    let mut package = Package::new();
    package.module("drivers/virtio/virtio_ring.ko", &["depends="]);
    package.module("drivers/virtio/virtio.ko.xz", &["depends=virtio_ring"]);
    package.module("drivers/virtio/virtio_pci.ko.zst", &["depends=virtio,virtio_ring"]);
    package.module("drivers/block/virtio_blk.ko.gz", &["depends=virtio_ring,virtio", "alias=virtio:d00000002v*"]);
    package.module("drivers/net/virtio_net.ko", &["depends=net_failover,virtio"]);
    package.module("drivers/net/net_failover.ko", &["depends=failover"]);
    package.module("net/core/failover.ko", &["depends="]);
    package.module("drivers/char/hw_random/virtio-rng.ko", &["depends=virtio"]);
    package.module("fs/ext4/ext4.ko", &["depends=jbd2,mbcache", "softdep=pre: crypto-crc32c", "alias=fs-ext4"]);
    package.module("fs/jbd2/jbd2.ko", &["depends="]);
    package.module("fs/mbcache.ko", &["depends="]);
    package.module("crypto/crc32c_generic.ko", &["depends=", "alias=crypto-crc32c"]);
    package.module("fs/overlayfs/overlay.ko", &["depends=", "alias=fs-overlay"]);
    package.module("fs/fuse/fuse.ko", &["depends=", "alias=devname:fuse", "alias=char-major-10-229"]);
    package.module("sound/noise.ko", &["depends="]);
    package
}

fn error_of<T: std::fmt::Debug>(result: Result<T, KernelError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_initrd_has_what_the_root_disk_needs_in_loading_order() {
    let order = modular().kernel().initrd_modules().unwrap();
    let expected = [
        "virtio_ring",
        "virtio",
        "virtio_pci",
        "virtio_blk",
        "crc32c_generic",
        "jbd2",
        "mbcache",
        "ext4",
        "failover",
        "net_failover",
        "virtio_net",
        "virtio_rng",
    ];
    assert_eq!(order, expected);
}

#[test]
fn what_is_built_in_is_left_out() {
    let mut package = Package::new();
    package
        .module("drivers/block/virtio_blk.ko", &["depends=virtio,virtio-ring", "softdep=pre: crypto-crc32c nonsense"]);
    let builtin = ["v/virtio", "v/virtio-ring", "v/virtio_pci", "n/virtio_net", "fs/ext4"];
    package.builtin(&builtin, &["crc32c_generic.alias=crypto-crc32c"]);
    package.module("crypto/crc32c_generic.ko", &["depends="]);
    assert_eq!(package.kernel().initrd_modules().unwrap(), ["virtio_blk"]);
    package.kernel().initrd(b"busybox", 0).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let without = |name: &str| {
        let mut package = modular();
        package.files.retain(|file| !file.path.contains(name));
        error_of(package.kernel().initrd(b"busybox", 0))
    };
    let missing = without("virtio_blk");
    assert_eq!(
        missing,
        "the kernel 6.1.0-9-test cannot mount the root disk: it has no `virtio_blk`, neither as a module nor built in"
    );
    assert_eq!(
        without("mbcache"),
        "the kernel's module `ext4` needs `mbcache`, and the kernel 6.1.0-9-test has no such module"
    );
    let mut package = modular();
    package.files.retain(|file| !file.path.contains("virtio-rng"));
    package.kernel().initrd(b"busybox", 0).unwrap();
}

#[test]
fn a_circle_of_soft_dependencies_ends() {
    let mut package = modular();
    package.files.retain(|file| !file.path.contains("jbd2.ko"));
    package.module("fs/jbd2/jbd2.ko", &["depends=", "softdep=pre: ext4"]);
    let order = package.kernel().initrd_modules().unwrap();
    let place = |name: &str| order.iter().position(|module| module == name).unwrap();
    assert!(place("jbd2") < place("ext4"), "what is needed comes first: {order:?}");
}

#[test]
fn what_is_no_module_is_named() {
    let mut package = modular();
    package.files.retain(|file| !file.path.contains("overlay"));
    package.file(&format!("lib/modules/{RELEASE}/kernel/fs/overlayfs/overlay.ko.xz"), b"not compressed");
    let mut tree = RootTree::new(0);
    let error = error_of(package.kernel().add_modules(&mut tree, ModuleSet::Chosen, 0));
    assert_eq!(error, "cannot read the kernel module `kernel/fs/overlayfs/overlay.ko.xz`");
}

#[test]
fn one_kernel_from_one_or_two_packages() {
    let package = modular();
    let find = |files: &[&[SourceFile]]| Kernel::find(&files.concat()).map(|kernel| kernel.release().to_owned());
    let (image, modules) = package.files.split_at(1);
    assert_eq!(find(&[image, modules]).unwrap(), RELEASE);
    assert_eq!(package.kernel().image(), package.files[0].content);
    assert!(error_of(find(&[modules])).contains("no file `boot/vmlinuz-*`"));
    assert!(error_of(find(&[image])).contains("no modules"));
    let mut other = image[0].clone();
    other.path = "boot/vmlinuz-other".to_owned();
    assert!(error_of(find(&[&[other], &package.files])).contains("more than one kernel: boot/vmlinuz-other, "));
    let mut other = modules[0].clone();
    other.path = "usr/lib/modules/other/kernel/x.ko".to_owned();
    assert!(error_of(find(&[&[other], &package.files])).contains("more than one kernel: 6.1.0-9-test, other"));
}

#[test]
fn the_initrd_holds_uncompressed_modules_and_repeats() {
    let package = modular();
    let initrd = package.kernel().initrd(b"busybox", 7).unwrap();
    assert_eq!(initrd, package.kernel().initrd(b"busybox", 7).unwrap());
    let has = |bytes: &[u8]| initrd.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"bin/busybox\0") && has(b"modules/003-virtio_blk.ko\0") && has(b"#!/bin/busybox sh"));
    assert!(has(&module_with(&["depends=virtio_ring"])), "virtio.ko.xz must be decompressed");
}

#[test]
fn the_image_gets_the_chosen_modules_through_its_lib_link() {
    let package = modular();
    let mut tree = RootTree::new(500);
    tree.insert("usr", Inode::new(Kind::Directory, 0o755, 0, 0, 0)).unwrap();
    tree.insert("usr/lib", Inode::new(Kind::Directory, 0o755, 0, 0, 0)).unwrap();
    tree.insert("lib", Inode::new(Kind::Symlink("usr/lib".to_owned()), 0o777, 0, 0, 0)).unwrap();
    let added = package.kernel().add_modules(&mut tree, ModuleSet::Chosen, 500).unwrap();
    let folder = format!("usr/lib/modules/{RELEASE}");
    assert!(tree.get(&format!("{folder}/kernel/sound/noise.ko")).is_none(), "it is on no list");
    let overlay = tree.get(&format!("{folder}/kernel/fs/overlayfs/overlay.ko")).unwrap();
    assert_eq!((overlay.mode, overlay.mtime), (0o644, 100));
    assert!(matches!(&overlay.kind, Kind::File(Content::File { .. })), "the content is referred to, not copied");
    let text = |name: &str| String::from_utf8(tree.read(&format!("/lib/modules/{RELEASE}/{name}")).unwrap()).unwrap();
    let dependencies = text("modules.dep");
    assert_eq!(dependencies.lines().count(), added.modules);
    let blk = dependencies.lines().find(|line| line.starts_with("kernel/drivers/block/virtio_blk.ko.gz:"));
    assert_eq!(
        blk,
        Some(
            "kernel/drivers/block/virtio_blk.ko.gz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko"
        ),
        "what is loaded first comes last"
    );
    assert!(text("modules.alias").contains("alias fs-overlay overlay\n"));
    assert!(text("modules.devname").contains("fuse fuse c10:229\n"));
    assert!(text("modules.softdep").contains("softdep ext4 pre: crypto-crc32c\n"));
    for name in ["modules.dep.bin", "modules.alias.bin", "modules.builtin.bin", "modules.symbols.bin"] {
        assert!(tree.get(&format!("{folder}/{name}")).is_some(), "{name}");
    }
}

#[test]
fn all_modules_if_asked_and_the_same_tree_twice() {
    let package = modular();
    let build = || {
        let mut tree = RootTree::new(500);
        let added = package.kernel().add_modules(&mut tree, ModuleSet::All, 50).unwrap();
        (added, digest(&tree).unwrap(), tree)
    };
    let (added, first, tree) = build();
    assert_eq!(added.modules, 15);
    assert_eq!(first, build().1);
    assert!(tree.below("lib").all(|(_, _, inode)| inode.mtime <= 50), "times are clamped to the epoch");
}

/// What kmod's `depmod` writes for these four built-in modules.
#[test]
fn indexes_are_those_of_depmod() {
    let mut index = index::Index::default();
    for name in ["ext4", "ext2", "virtio", "virtio_ring"] {
        index.insert(name, "", 0);
    }
    let depmod = concat!(
        "b007f457000200012000005200000001000000000000000001000000000078740032344000000c000000004000001572696e67000000",
        "00010000000000697274696f005f5fc000002f0000000100000000006576a000001e0000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000e000003d",
    );
    assert_eq!(hex::encode(index.to_bytes()), depmod);
    assert_eq!(hex::encode(index::Index::default().to_bytes()), "b007f457000200010000000c");
}

#[test]
fn a_busybox_that_needs_libraries_is_refused() {
    let mut package = Package::new();
    assert!(matches!(busybox(&package.files), Err(KernelError::NoBusybox)));
    package.file("bin/busybox", b"#!/bin/sh\n");
    assert!(matches!(busybox(&package.files), Err(KernelError::BusyboxNotStatic)));
}

#[test]
fn module_names_come_from_paths() {
    let check = |path: &str, expected: Option<&str>| assert_eq!(module_name(path).as_deref(), expected, "{path}");
    check("kernel/a/virtio-rng.ko", Some("virtio_rng"));
    check("kernel/a/crc32c-intel.ko.xz", Some("crc32c_intel"));
    check("kernel/a/x.ko.zst", Some("x"));
    check("kernel/a/x.kop", None);
    check("modules.order", None);
}

#[test]
fn the_list_for_the_image_matches_whole_names_and_beginnings() {
    for (name, expected) in
        [("overlay", true), ("overlay2", false), ("nft_chain_nat", true), ("xt_MASQUERADE", true), ("snd", false)]
    {
        assert_eq!(wanted::is_chosen(name), expected, "{name}");
    }
}

use std::sync::atomic::AtomicBool;

use smolvm_rootfs::{Content, Ext4Error, Ext4Size, Inode, Kind, RootTree, write_ext4};

use crate::e2fsprogs::{debugfs, run};
use crate::trees::{CAPABILITY, EPOCH, MIB, file, folder, options, small_tree, write};

/// The bytes of images are part of the format version: when this changes, every image in every store is another one.
#[test]
fn the_small_tree_has_the_bytes_it_always_had() {
    let image = write(&small_tree(), Ext4Size::Fixed(16 * MIB)).unwrap();
    assert_eq!(
        image.summary.blake3.to_hex().as_str(),
        "689b8d401c2c8442c4cc36d1e0882fbc0707196a7a702afe34f0119600849699"
    );
}

#[test]
fn twice_the_same_bytes_wherever_the_content_lies() {
    let scratch = tempfile::tempdir().unwrap();
    let mut moved = small_tree();
    let paths: Vec<String> = moved.iter().map(|(path, _, _)| path.to_owned()).collect();
    for (number, path) in paths.iter().enumerate() {
        if let Kind::File(content) = &mut moved.get_mut(path).unwrap().kind {
            let place = scratch.path().join(number.to_string());
            fs_err::write(&place, content.read().unwrap()).unwrap();
            *content = Content::File { size: content.size(), path: place };
        }
    }
    let first = write(&small_tree(), Ext4Size::Auto).unwrap();
    let second = write(&moved, Ext4Size::Auto).unwrap();
    assert_eq!(first.bytes(), second.bytes());
}

#[test]
fn an_older_longer_image_in_the_file_leaves_no_trace() {
    let image = write(&small_tree(), Ext4Size::Fixed(16 * MIB)).unwrap();
    let again = fs_err::OpenOptions::new().write(true).open(&image.path).unwrap();
    fs_err::write(&image.path, vec![0xFF; 20 << 20]).unwrap();
    let summary =
        write_ext4(&small_tree(), &options(Ext4Size::Fixed(16 * MIB)), again.file(), &AtomicBool::new(false)).unwrap();
    assert_eq!(summary.size_bytes, image.summary.size_bytes);
    assert_eq!(blake3::hash(&image.bytes()), image.summary.blake3);
}

#[test]
fn debugfs_reads_what_the_tree_says() {
    let image = write(&small_tree(), Ext4Size::Fixed(16 * MIB)).unwrap();
    let check = |command: &str, expected: &[&str]| {
        let Some(answer) = debugfs(&image.path, command) else { return };
        for part in expected {
            assert!(answer.contains(part), "`{command}` must answer `{part}`:\n{answer}");
        }
    };
    check(
        "stat /usr/bin/ping",
        &["Type: regular", "Mode:  04755", "Size: 10000", "Links: 2", "security.capability (20)"],
    );
    check("stat /usr/bin/ping4", &["Links: 2"]);
    check("ea_get -x /usr/bin/ping security.capability", &[&spaced(CAPABILITY)]);
    check(
        "stat \"/etc/shared with spaces\"",
        &["User:  1000", "Group: 100000", "user.note (300)", "system.posix_acl_access (28)"],
    );
    check("stat /dev/null", &["Type: character special", "Mode:  0666", "01:03"]);
    check("stat /dev/vda", &["Type: block special", "254:300"]);
    check("stat /dev/pipe", &["Type: FIFO", "User:     1", "Group:     2"]);
    check("stat /dev/log", &["Type: socket"]);
    check("stat /tmp", &["Mode:  01777"]);
    check("stat /bin", &["Fast link dest: \"usr/bin\""]);
    check("stat /etc/far", &["Type: symlink", "Size: 71"]);
    check("stat /lost+found", &["Type: directory", "Mode:  0700"]);
    check("stat /usr/sparse", &["Size: 3145728", "Blockcount: 256"]);
    check("stat /etc/hostname", &[&format!("mtime: 0x{EPOCH:08x}")]);
    check("cat /etc/hostname", &["dev\n"]);
    check("show_super_stats -h", &["Filesystem volume name:   smolvm", "07070707-0707-0707-0707-070707070707"]);
}

fn spaced(hex: &str) -> String {
    hex.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

#[test]
fn free_space_and_runs_of_zeros_take_nothing_on_the_host() {
    let mut tree = small_tree();
    tree.insert("huge", file(vec![0; 200 << 20])).unwrap();
    let image = write(&tree, Ext4Size::Fixed(2048 * MIB)).unwrap();
    assert_eq!(image.summary.size_bytes, 2048 * MIB);
    assert!(image.summary.disk_bytes < 4 * MIB, "{} bytes on disk", image.summary.disk_bytes);
}

/// Bytes that do not compress into holes.
fn filler(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from(index % 251).unwrap_or_default() + 1).collect()
}

#[test]
fn too_small_names_a_size_that_suffices_and_not_much_more() {
    let check = |tree: &RootTree, asked: u64| {
        let Err(Ext4Error::TooSmall { asked: told, needed }) =
            write(tree, Ext4Size::Fixed(asked)).map(|image| image.path)
        else {
            panic!("{asked} bytes must be too small");
        };
        assert_eq!(told, asked);
        write(tree, Ext4Size::Fixed(needed)).unwrap();
        assert!(
            matches!(write(tree, Ext4Size::Fixed(needed - MIB)), Err(Ext4Error::TooSmall { .. })),
            "one MiB less fits too"
        );
    };
    check(&small_tree(), MIB);
    let mut large = small_tree();
    large.insert("filler", file(filler(180 << 20))).unwrap();
    check(&large, 64 * MIB);
    let mut many = small_tree();
    for number in 0..5000 {
        many.insert(&format!("tmp/{number}"), file(*b"")).unwrap();
    }
    check(&many, 16 * MIB);
}

#[test]
fn the_error_says_what_to_write() {
    let mut tree = RootTree::new(EPOCH);
    tree.insert("filler", file(filler(30 << 20))).unwrap();
    let error = write(&tree, Ext4Size::Fixed(10 * MIB)).map(|image| image.path).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    insta::assert_snapshot!(format!("{error}\nhelp: {help}"), @"
    the root file system does not fit into 10MiB: it needs at least 36MiB
    help: set `size: 36MiB` or more (that leaves hardly any free space), or `size: auto`
    ");
}

/// Sizes around the ends of block groups, where mke2fs leaves the last group out.
#[test]
fn any_size_makes_a_clean_image_of_that_size() {
    for mebibytes in [16, 127, 128, 129, 257, 1025, 2048, 2049, 2052, 2177] {
        let image = write(&small_tree(), Ext4Size::Fixed(mebibytes * MIB)).unwrap();
        assert_eq!(image.summary.size_bytes, mebibytes * MIB);
    }
    let odd = write(&small_tree(), Ext4Size::Fixed(20_000_001)).unwrap();
    assert_eq!(odd.summary.size_bytes, 20 * MIB, "rounded up to a whole MiB");
}

#[test]
fn auto_leaves_a_fifth_and_64_mib() {
    for (bytes, least) in [(0, 64 * MIB), (300 << 20, (300 + 60 + 64) * MIB)] {
        let mut tree = small_tree();
        tree.insert("filler", file(filler(bytes))).unwrap();
        let image = write(&tree, Ext4Size::Auto).unwrap();
        let size = image.summary.size_bytes;
        assert!(size.is_multiple_of(MIB) && size > least && size < least + 48 * MIB, "{size} for {bytes}");
        let Some(stats) = debugfs(&image.path, "show_super_stats -h") else { return };
        let free: u64 =
            stats.lines().find_map(|line| line.strip_prefix("Free blocks:")).unwrap().trim().parse().unwrap();
        assert!(free * 4096 >= bytes as u64 / 5 + 64 * MIB, "{free} free blocks of {size}");
    }
}

#[test]
fn there_are_inodes_to_work_with() {
    let mut tree = small_tree();
    for number in 0..3000 {
        tree.insert(&format!("tmp/{number}"), file(*b"")).unwrap();
    }
    let image = write(&tree, Ext4Size::Fixed(64 * MIB)).unwrap();
    let Some(stats) = debugfs(&image.path, "show_super_stats -h") else { return };
    let free: u64 = stats.lines().find_map(|line| line.strip_prefix("Free inodes:")).unwrap().trim().parse().unwrap();
    assert!(free >= 4096, "{free} free inodes");
}

#[test]
fn large_folders_are_indexed() {
    let mut tree = RootTree::new(EPOCH);
    tree.insert("many", folder()).unwrap();
    for number in 0..20_000 {
        tree.insert(&format!("many/a-name-of-some-length-{number}"), file(*b"")).unwrap();
    }
    let image = write(&tree, Ext4Size::Auto).unwrap();
    if let Some(answer) = debugfs(&image.path, "htree_dump /many") {
        assert!(answer.contains("Number of entries (count)"), "{answer}");
    }
}

#[test]
fn the_image_can_be_grown() {
    let image = write(&small_tree(), Ext4Size::Fixed(64 * MIB)).unwrap();
    fs_err::OpenOptions::new().write(true).open(&image.path).unwrap().set_len(3 << 30).unwrap();
    if run("e2fsck", &["-fp"], &image.path).is_none() {
        return;
    }
    let output = run("resize2fs", &[], &image.path).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    crate::e2fsprogs::assert_clean(&image.path);
    let stats = debugfs(&image.path, "show_super_stats -h").unwrap();
    assert!(stats.contains("Block count:              786432"), "{stats}");
}

#[test]
fn a_content_file_that_changed_its_size_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    for (recorded, found) in [(10, 9), (10, 11), (3 << 20, 1 << 20), (10, 0)] {
        let path = scratch.path().join("content");
        fs_err::write(&path, filler(found)).unwrap();
        let mut tree = RootTree::new(EPOCH);
        let kind = Kind::File(Content::File { path, size: recorded });
        tree.insert("changed", Inode::new(kind, 0o644, 0, 0, 0)).unwrap();
        let error = write(&tree, Ext4Size::Auto).map(|image| image.path).unwrap_err();
        assert!(matches!(&error, Ext4Error::Content { path, .. } if path == "changed"), "{error:?}");
    }
}

#[test]
fn what_ext4_cannot_hold_is_named() {
    let check = |path: &str, inode: Inode, reason: &str| {
        let mut tree = RootTree::new(EPOCH);
        tree.insert("a", folder()).unwrap();
        tree.insert(path, inode).unwrap();
        let error = write(&tree, Ext4Size::Auto).map(|image| image.path).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`/{path}` ")), "{error}");
        assert!(error.to_string().contains(reason), "{error} must contain {reason}");
    };
    let with_xattr = |name: &str, value: &[u8]| {
        let mut inode = file(*b"");
        inode.xattrs.insert(name.to_owned(), value.to_vec());
        inode
    };
    check("a/b", with_xattr("user.big", &[1; 5000]), "5024 bytes");
    check("a/b", with_xattr("system.posix_acl_access", b"nonsense"), "access control list");
    check("a/b", with_xattr("nonsense", b""), "no recognized namespace");
    check("a/b", Inode::new(Kind::CharDevice { major: 5000, minor: 0 }, 0, 0, 0, 0), "out of dev_t range");
    check("a/b", Inode::new(Kind::Symlink(String::new()), 0o777, 0, 0, 0), "symlink target");
    check("lost+found", file(*b""), "belongs to the file system");
}

#[test]
fn the_trees_own_empty_lost_and_found_gives_way() {
    let mut tree = RootTree::new(EPOCH);
    tree.insert("lost+found", Inode { mode: 0o755, ..folder() }).unwrap();
    write(&tree, Ext4Size::Auto).unwrap();
}

/// A disk of 8 TiB takes an hour to hash.
#[test]
fn somebody_who_wants_to_stop_need_not_wait() {
    let file = tempfile::tempfile().unwrap();
    let stop = AtomicBool::new(true);
    let options = options(Ext4Size::Fixed(8 << 40));
    let stopped = write_ext4(&small_tree(), &options, &file, &stop);
    assert!(matches!(stopped, Err(Ext4Error::Stopped)), "{stopped:?}");
}

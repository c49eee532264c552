//! Trees to make images of.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use smolvm_rootfs::{Content, Ext4Error, Ext4Options, Ext4Size, Ext4Summary, Inode, Kind, RootTree, write_ext4};

pub(crate) const EPOCH: i64 = 1_750_000_000;
pub(crate) const MIB: u64 = 1 << 20;

/// `u::rw-,u:1000:rw-,g::r--,m::rw-,o::r--` as the kernel gives it out.
pub(crate) const ACL: &str = "0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000400ffffffff";
/// `cap_net_raw=ep`.
pub(crate) const CAPABILITY: &str = "0100000200200000000000000000000000000000";

pub(crate) fn options(size: Ext4Size) -> Ext4Options {
    Ext4Options { size, uuid: [7; 16], hash_seed: [9; 16], epoch: EPOCH, label: "smolvm".to_owned() }
}

pub(crate) fn folder() -> Inode {
    Inode::new(Kind::Directory, 0o755, 0, 0, EPOCH)
}

pub(crate) fn file(bytes: impl Into<std::sync::Arc<[u8]>>) -> Inode {
    Inode::new(Kind::File(Content::bytes(bytes)), 0o644, 0, 0, EPOCH)
}

/// One of everything that a root file system holds.
pub(crate) fn small_tree() -> RootTree {
    let mut tree = RootTree::new(EPOCH);
    let put = |tree: &mut RootTree, path: &str, inode: Inode| tree.insert(path, inode).unwrap();
    put(&mut tree, "dev", folder());
    put(&mut tree, "dev/null", Inode::new(Kind::CharDevice { major: 1, minor: 3 }, 0o666, 0, 0, EPOCH));
    put(&mut tree, "dev/vda", Inode::new(Kind::BlockDevice { major: 254, minor: 300 }, 0o660, 0, 6, EPOCH));
    put(&mut tree, "dev/pipe", Inode::new(Kind::Fifo, 0o600, 1, 2, EPOCH - 5));
    put(&mut tree, "dev/log", Inode::new(Kind::Socket, 0o666, 0, 0, EPOCH));
    put(&mut tree, "etc", folder());
    put(&mut tree, "etc/hostname", file(*b"dev\n"));
    put(&mut tree, "etc/empty", Inode { mode: 0o600, ..file(*b"") });
    put(&mut tree, "etc/far", Inode::new(Kind::Symlink(format!("/{}", "x".repeat(70))), 0o777, 0, 0, EPOCH));
    put(&mut tree, "tmp", Inode { mode: 0o1777, ..folder() });
    put(&mut tree, "usr", folder());
    put(&mut tree, "usr/bin", folder());
    put(&mut tree, "bin", Inode::new(Kind::Symlink("usr/bin".to_owned()), 0o777, 0, 0, EPOCH));
    let mut ping = Inode { mode: 0o4755, ..file(vec![0xA5; 10_000]) };
    ping.xattrs.insert("security.capability".to_owned(), hex::decode(CAPABILITY).unwrap());
    let ping = put(&mut tree, "usr/bin/ping", ping);
    tree.link("usr/bin/ping4", ping).unwrap();
    let mut shared = Inode { uid: 1000, gid: 100_000, ..file(*b"for two\n") };
    shared.xattrs.insert("system.posix_acl_access".to_owned(), hex::decode(ACL).unwrap());
    shared.xattrs.insert("user.note".to_owned(), vec![0x5A; 300]);
    put(&mut tree, "etc/shared with spaces", shared);
    let mut sparse = vec![0; 3 << 20];
    sparse[..5].copy_from_slice(b"start");
    sparse[2 << 20] = 1;
    put(&mut tree, "usr/sparse", file(sparse));
    tree
}

/// An image in a folder that goes away with it.
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) summary: Ext4Summary,
    _folder: tempfile::TempDir,
}

impl Image {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs_err::read(&self.path).unwrap()
    }
}

/// Writes an image and lets e2fsck and the hash judge it.
pub(crate) fn write(tree: &RootTree, size: Ext4Size) -> Result<Image, Ext4Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rootfs.ext4");
    let file = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    let summary = write_ext4(tree, &options(size), file.file(), &AtomicBool::new(false))?;
    super::e2fsprogs::assert_clean(&path);
    assert_eq!(fs_err::metadata(&path).unwrap().len(), summary.size_bytes);
    // Reading GiB of holes back takes seconds, and shows nothing that a smaller image does not.
    if summary.size_bytes <= 512 * MIB {
        assert_eq!(blake3_of(&path), summary.blake3, "the hash must be that of the file");
    }
    Ok(Image { path, summary, _folder: folder })
}

fn blake3_of(path: &Path) -> blake3::Hash {
    blake3::Hasher::new().update_mmap_rayon(path).unwrap().finalize()
}

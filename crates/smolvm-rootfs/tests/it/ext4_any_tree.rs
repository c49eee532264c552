//! Trees that nobody thought of.

use mkext4::reader::Fs;
use proptest::prelude::*;
use smolvm_rootfs::{Content, Ext4Size, Inode, Kind, RootTree};

use crate::trees::{EPOCH, write};

fn kind() -> impl Strategy<Value = Kind> {
    let bytes = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..9000),
        1 => (any::<u8>(), 1_usize..1_500_000).prop_map(|(byte, size)| vec![byte; size]),
        1 => (0_usize..4 << 20, 0_usize..4 << 20).prop_map(|(one, size)| {
            let mut bytes = vec![0; one.max(size) + 1];
            bytes[one] = 1;
            bytes
        }),
    ];
    prop_oneof![
        4 => Just(Kind::Directory),
        6 => bytes.prop_map(|bytes| Kind::File(Content::bytes(bytes))),
        2 => "[a-z/.]{1,200}".prop_map(Kind::Symlink),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        1 => (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
    ]
}

fn inode() -> impl Strategy<Value = Inode> {
    let xattrs = prop::collection::btree_map(
        "(user|security|trusted)\\.[a-z]{1,40}",
        prop::collection::vec(any::<u8>(), 0..400),
        0..4,
    );
    (kind(), 0_u32..0o10000, any::<u32>(), any::<u32>(), -5_i64..1 << 33, xattrs)
        .prop_map(|(kind, mode, uid, gid, mtime, xattrs)| Inode { kind, mode, uid, gid, mtime, xattrs })
}

/// Each inode goes into a folder that is there already, so that every tree is one.
fn tree() -> impl Strategy<Value = RootTree> {
    let name = "[ -.0-~äß]{1,60}".prop_filter("impossible", |name| name != "." && name != "..");
    let placed =
        (any::<prop::sample::Index>(), name, inode(), prop::option::weighted(0.1, any::<prop::sample::Index>()));
    prop::collection::vec(placed, 0..60).prop_map(|placed| {
        let mut tree = RootTree::new(EPOCH);
        let mut folders = vec![String::new()];
        let mut files = Vec::new();
        for (parent, name, inode, hard_link) in placed {
            let parent = parent.get(&folders);
            let path = if parent.is_empty() { name } else { format!("{parent}/{name}") };
            if tree.get(&path).is_some() || path == "lost+found" {
                continue;
            }
            match hard_link {
                Some(index) if !files.is_empty() => tree.link(&path, *index.get(&files)).unwrap(),
                _ => {
                    let directory = inode.is_directory();
                    let id = tree.insert(&path, inode).unwrap();
                    if directory { folders.push(path) } else { files.push(id) }
                }
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comes_back_out_of_its_image(tree in tree()) {
        let image = write(&tree, Ext4Size::Auto).unwrap();
        let bytes = image.bytes();
        let fs = Fs::open(&bytes[..]).unwrap();
        for (path, _, inode) in tree.iter() {
            let number = fs.resolve(&format!("/{path}")).unwrap();
            let found = fs.inode(number).unwrap();
            prop_assert_eq!(u32::from(found.mode & 0o7777), inode.mode, "{}", path);
            prop_assert_eq!((found.uid, found.gid), (inode.uid, inode.gid), "{}", path);
            if let Kind::File(content) = &inode.kind {
                prop_assert!(fs.read_file(number).unwrap() == content.read().unwrap(), "the content of {}", path);
            }
        }
    }
}

use smolvm_rootfs::{Content, Kind, RootTree, digest, write_listing};

use crate::trees::{file, small_tree};

#[test]
fn one_line_per_path() {
    let mut tree = small_tree();
    tree.insert("etc/back\\slash\nand ä", file(*b"")).unwrap();
    let mut text = Vec::new();
    write_listing(&tree, &mut text).unwrap();
    insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r#"
    / d 0755 0 0 - 1750000000 - -
    /bin l 0777 0 0 usr/bin 1750000000 - -
    /dev d 0755 0 0 - 1750000000 - -
    /dev/log s 0666 0 0 - 1750000000 - -
    /dev/null c 0666 0 0 1:3 1750000000 - -
    /dev/pipe p 0600 1 2 - 1749999995 - -
    /dev/vda b 0660 0 6 254:300 1750000000 - -
    /etc d 0755 0 0 - 1750000000 - -
    /etc/back\x5cslash\x0aand\x20\xc3\xa4 f 0644 0 0 0 1750000000 - af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262
    /etc/empty f 0600 0 0 0 1750000000 - af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262
    /etc/far l 0777 0 0 /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 1750000000 - -
    /etc/hostname f 0644 0 0 4 1750000000 - 17ef0f6494288d5b4b034c27e0ebfc2e37125c72515d31d25ba0f24f41e62435
    /etc/shared\x20with\x20spaces f 0644 1000 100000 8 1750000000 system.posix_acl_access=0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000400ffffffff,user.note=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a 3927e9a688d3b28c1d557ede38f5b9913419115bf5035fd65f1a2faf19fa5fb7
    /tmp d 1777 0 0 - 1750000000 - -
    /usr d 0755 0 0 - 1750000000 - -
    /usr/bin d 0755 0 0 - 1750000000 - -
    /usr/bin/ping f 4755 0 0 10000 1750000000 security.capability=0100000200200000000000000000000000000000 fa9b2ef1b5ef3e5d07f6e678570aa4ec560b95eec96ebe0b4040d02b4c5db8b3
    /usr/bin/ping4 h /usr/bin/ping
    /usr/sparse f 0644 0 0 3145728 1750000000 - 57daccc862fc8d55a25b044b3ee0062dfdc64951261a1408bb1707bc26e27dca
    "#);
}

type Change = fn(&mut RootTree);

#[test]
fn every_difference_that_a_guest_can_see_changes_the_digest() {
    let changes: [(&str, Change); 12] = [
        ("mode", |tree| tree.get_mut("etc").unwrap().mode = 0o700),
        ("owner", |tree| tree.get_mut("etc").unwrap().uid = 1),
        ("group", |tree| tree.get_mut("etc").unwrap().gid = 1),
        ("time", |tree| tree.get_mut("etc").unwrap().mtime -= 1),
        ("attribute", |tree| {
            tree.get_mut("etc").unwrap().xattrs.insert("user.a".to_owned(), vec![]);
        }),
        ("content", |tree| tree.get_mut("etc/hostname").unwrap().kind = Kind::File(Content::bytes(*b"veD\n"))),
        ("target", |tree| tree.get_mut("bin").unwrap().kind = Kind::Symlink("usr/bim".to_owned())),
        ("device", |tree| tree.get_mut("dev/null").unwrap().kind = Kind::CharDevice { major: 1, minor: 4 }),
        ("kind", |tree| tree.get_mut("dev/pipe").unwrap().kind = Kind::Socket),
        ("new path", |tree| {
            tree.insert("new", file(*b"")).unwrap();
        }),
        ("lost path", |tree| assert!(tree.remove("etc/empty"))),
        ("hard link broken", |tree| {
            let copy = tree.get("usr/bin/ping").unwrap().clone();
            tree.insert("usr/bin/ping4", copy).unwrap();
        }),
    ];
    let mut digests = vec![digest(&small_tree()).unwrap()];
    assert_eq!(digests[0], digest(&small_tree()).unwrap());
    for (what, change) in changes {
        let mut tree = small_tree();
        change(&mut tree);
        let other = digest(&tree).unwrap();
        assert!(!digests.contains(&other), "{what}");
        digests.push(other);
    }
}

#[test]
fn the_place_of_content_and_names_removed_again_do_not_matter() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("content");
    fs_err::write(&path, b"dev\n").unwrap();
    let mut tree = small_tree();
    tree.insert("passing", file(*b"gone")).unwrap();
    tree.remove("passing");
    tree.get_mut("etc/hostname").unwrap().kind = Kind::File(Content::File { path, size: 4 });
    assert_eq!(digest(&tree).unwrap(), digest(&small_tree()).unwrap());
}

use super::*;

fn file(text: &str) -> Inode {
    Inode::new(Kind::File(Content::bytes(text.as_bytes())), 0o644, 0, 0, 5)
}

fn folder() -> Inode {
    Inode::new(Kind::Directory, 0o755, 0, 0, 5)
}

fn link(target: &str) -> Inode {
    Inode::new(Kind::Symlink(target.to_owned()), 0o777, 0, 0, 5)
}

/// A merged-/usr tree in the small.
fn tree() -> RootTree {
    let mut tree = RootTree::new(9);
    for (path, inode) in [
        ("usr", folder()),
        ("usr/bin", folder()),
        ("usr/bin/sh", link("dash")),
        ("usr/bin/dash", file("dash")),
        ("usr-local", file("between usr and usr/")),
        ("bin", link("usr/bin")),
        ("etc", folder()),
        ("etc/out", link("../../../usr/bin/dash")),
        ("etc/absolute", link("/bin/sh")),
        ("etc/round", link("about")),
        ("etc/about", link("round")),
    ] {
        tree.insert(path, inode).unwrap();
    }
    tree
}

fn names<'a>(found: impl Iterator<Item = (&'a str, InodeId, &'a Inode)>) -> Vec<&'a str> {
    found.map(|(name, _, _)| name).collect()
}

#[test]
fn children_are_direct_and_below_is_everything() {
    let tree = tree();
    assert_eq!(names(tree.children("")), ["bin", "etc", "usr", "usr-local"]);
    assert_eq!(names(tree.children("/usr/")), ["bin"]);
    assert_eq!(names(tree.children("usr/bin")), ["dash", "sh"]);
    assert_eq!(names(tree.children("usr-local")), [""; 0]);
    assert_eq!(names(tree.below("usr")), ["usr/bin", "usr/bin/dash", "usr/bin/sh"]);
    assert_eq!(tree.below("").count() + 1, tree.len());
}

#[test]
fn resolve_follows_links_inside_the_tree() {
    let tree = tree();
    let check = |path: &str, expected: Result<&str, &str>| {
        let found = tree.resolve(path).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
    };
    check("/bin/sh", Ok("usr/bin/dash"));
    check("etc/out", Ok("usr/bin/dash"));
    check("etc/absolute", Ok("usr/bin/dash"));
    check("bin/../../etc", Ok("etc"));
    check("", Ok(""));
    check("etc/round", Err("following the symbolic links of `/etc/round` in the image never ends"));
    check("bin/zsh", Err("`/usr/bin/zsh` does not exist in the image"));
    check("bin/sh/x", Err("`/usr/bin/dash` in the image is not a folder"));
}

#[test]
fn place_keeps_the_last_name_and_what_is_not_there_yet() {
    let tree = tree();
    assert_eq!(tree.place("/bin/sh").unwrap(), "usr/bin/sh");
    assert_eq!(tree.place("/bin/new/deep").unwrap(), "usr/bin/new/deep");
    assert!(tree.place("bin/../x").is_err(), "a path with `..` must be refused");
    assert!(tree.place("bin/dash/x").is_err(), "a file has nothing below it");
}

#[test]
fn write_file_makes_parents_through_links_and_replaces_links() {
    let mut tree = tree();
    assert_eq!(tree.write_file("/bin/a/b", *b"one", 0o600, 1, 2, 3).unwrap(), "usr/bin/a/b");
    assert_eq!(tree.read("bin/a/b").unwrap(), b"one");
    assert_eq!(tree.get("usr/bin/a").unwrap().mode, 0o755);
    tree.write_file("bin/sh", *b"two", 0o755, 0, 0, 3).unwrap();
    assert_eq!(tree.read("usr/bin/sh").unwrap(), b"two");
    assert_eq!(tree.read("usr/bin/dash").unwrap(), b"dash", "the link's target must stay as it was");
    assert!(tree.write_file("usr", *b"", 0o644, 0, 0, 0).is_err(), "a folder must not give way to a file");
}

#[test]
fn insert_keeps_a_folder_and_its_content() {
    let mut tree = tree();
    tree.insert("usr", Inode { mode: 0o700, ..folder() }).unwrap();
    assert_eq!(tree.get("usr").unwrap().mode, 0o700);
    assert!(tree.get("usr/bin/dash").is_some());
    assert!(matches!(tree.insert("usr", file("")), Err(TreeError::IsDirectory { .. })));
    assert!(matches!(tree.insert("none/x", file("")), Err(TreeError::NotFound { .. })));
    assert!(matches!(tree.insert("bin/x", file("")), Err(TreeError::NotDirectory { .. })));
    for bad in ["a/../b", "..", "a\0", &"x".repeat(256)] {
        assert!(matches!(tree.insert(bad, file("")), Err(TreeError::Path { .. })), "{bad:?} must be refused");
    }
}

#[test]
fn remove_is_recursive_and_exact() {
    let mut tree = tree();
    assert!(tree.remove("/usr"));
    assert!(!tree.remove("usr"));
    assert!(!tree.remove(""));
    assert_eq!(names(tree.children("")), ["bin", "etc", "usr-local"]);
    assert_eq!(tree.below("usr").count(), 0);
}

#[test]
fn hard_links_share_an_inode() {
    let mut tree = tree();
    let id = tree.id("usr/bin/dash").unwrap();
    tree.link("usr/bin/ash", id).unwrap();
    tree.get_mut("usr/bin/ash").unwrap().mode = 0o4755;
    assert_eq!(tree.get("usr/bin/dash").unwrap().mode, 0o4755);
    let folder = tree.id("usr").unwrap();
    assert!(tree.link("usr2", folder).is_err());
}

#[test]
fn clamp_lowers_only_what_is_later() {
    let mut tree = tree();
    tree.get_mut("etc").unwrap().mtime = 100;
    tree.clamp_times(7);
    assert_eq!((tree.get("").unwrap().mtime, tree.get("etc").unwrap().mtime), (7, 7));
    assert_eq!(tree.get("usr").unwrap().mtime, 5);
}

#[test]
fn a_listing_read_back_is_checked() {
    let tree = tree();
    let text = serde_json::to_string(&tree).unwrap();
    let back: RootTree = serde_json::from_str(&text).unwrap();
    assert!(tree.iter().eq(back.iter()));
    for (find, replace) in
        [("\"usr/bin/dash\"", "\"../dash\""), ("[\"usr\",1]", "[\"usr\",99]"), ("[\"usr\",1]", "[\"opt\",1]")]
    {
        assert!(text.contains(find), "{find} is not in {text}");
        assert!(
            serde_json::from_str::<RootTree>(&text.replacen(find, replace, 1)).is_err(),
            "{replace} must be refused"
        );
    }
}

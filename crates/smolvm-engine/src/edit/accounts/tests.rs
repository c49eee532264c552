use smolvm_rootfs::RootTree;

use super::*;

const EPOCH: i64 = 1_700_000_000;

fn tree() -> RootTree {
    let mut tree = RootTree::new(EPOCH);
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"),
        ("etc/group", "root:x:0:\ndaemon:x:1:\nsudo:x:27:\nshadow:x:42:\n"),
        ("etc/shadow", "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n"),
        ("etc/gshadow", "root:*::\ndaemon:*::\nsudo:*::\nshadow:*::\n"),
    ] {
        tree.write_file(path, text.as_bytes(), 0o644, 0, 0, EPOCH).unwrap();
    }
    tree
}

fn user(name: &str, uid: Option<u32>, groups: &[&str]) -> User {
    User {
        name: name.into(),
        uid,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        shell: "/bin/bash".into(),
        home: format!("/home/{name}"),
        authorized_keys: Vec::new(),
        password_hash: None,
    }
}

fn text(tree: &RootTree, path: &str) -> String {
    String::from_utf8(tree.read(path).unwrap()).unwrap()
}

#[test]
fn a_user_gets_a_group_of_its_own_and_a_closed_password_that_is_not_locked() {
    let mut tree = tree();
    let mut accounts = Accounts::read(&tree).unwrap();
    assert_eq!(accounts.add(&user("dev", None, &["sudo"])).unwrap(), (1000, 1000));
    assert_eq!(accounts.add(&user("ops", Some(2000), &[])).unwrap(), (2000, 2000));
    assert_eq!(accounts.add(&user("third", None, &[])).unwrap(), (1001, 1001));
    accounts.write(&mut tree, EPOCH).unwrap();

    assert!(text(&tree, "etc/passwd").contains("dev:x:1000:1000::/home/dev:/bin/bash\n"));
    assert!(text(&tree, "etc/group").contains("sudo:x:27:dev\n"));
    assert!(text(&tree, "etc/gshadow").contains("sudo:*::dev\n"));
    let shadow = text(&tree, "etc/shadow");
    assert!(shadow.contains("dev:*:19675:0:99999:7:::\n"), "{shadow}");
    assert!(shadow.contains("root:*:19675:"), "the day of the build must not show: {shadow}");
    let inode = tree.get("etc/shadow").unwrap();
    assert_eq!((inode.mode, inode.gid), (0o640, 42));
}

#[test]
fn what_cannot_be_is_refused() {
    let tree = tree();
    let add = |wanted: &User| Accounts::read(&tree).unwrap().add(wanted).unwrap_err().to_string();
    assert_eq!(add(&user("daemon", None, &[])), "user `daemon` is already in the image, with uid 1");
    assert_eq!(
        add(&user("sudo", None, &[])),
        "user `sudo` cannot have a group of its own: the image has a group `sudo` already, with gid 27"
    );
    assert_eq!(add(&user("dev", Some(1), &[])), "user `dev` is to have uid 1, which `daemon` has already");
    assert_eq!(
        add(&user("dev", None, &["docker"])),
        "user `dev` is to be in group `docker`, which the image does not have"
    );
}

#[test]
fn owners_and_logins_go_by_name_or_number() {
    let tree = tree();
    let mut accounts = Accounts::read(&tree).unwrap();
    accounts.add(&user("dev", None, &["sudo"])).unwrap();
    let owner = |user: &str, group: &str| Owner { user: user.into(), group: group.into() };
    assert_eq!(accounts.owner(&owner("dev", "shadow"), "files[0]").unwrap(), (1000, 42));
    assert_eq!(accounts.owner(&owner("33", "44"), "files[0]").unwrap(), (33, 44));
    assert_eq!(
        accounts.owner(&owner("nobody-here", "0"), "files[0]").unwrap_err().to_string(),
        "files[0] names the user `nobody-here`, which the image does not have"
    );
    let login = accounts.login("dev", "run[0]").unwrap();
    assert_eq!((login.uid, login.groups.as_slice(), login.home.as_str()), (1000, &[27, 1000][..], "/home/dev"));
}

#[test]
fn a_password_replaces_the_old_one() {
    let mut tree = tree();
    let mut accounts = Accounts::read(&tree).unwrap();
    accounts.set_password("root", Some("$6$salt$hash")).unwrap();
    assert!(accounts.set_password("ghost", None).is_err());
    accounts.write(&mut tree, EPOCH).unwrap();
    assert!(text(&tree, "etc/shadow").starts_with("root:$6$salt$hash:19675:"));
}

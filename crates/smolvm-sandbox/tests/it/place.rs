//! Placing files: what it does, and where it never goes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use smolvm_sandbox::{PlaceOp, SandboxError};

use crate::support::{directory, sandbox, symlink};

#[test]
fn links_are_followed_inside_the_image_only() {
    let Some(mut sandbox) = sandbox() else { return };
    let outside = tempfile::tempdir().expect("a folder");
    let target = outside.path().to_str().expect("UTF-8").to_owned();
    sandbox.place(&[
        directory("usr/lib"),
        symlink("lib", "usr/lib"),
        symlink("slash", "/"),
        symlink("up", "../../../../../.."),
        symlink("usr/up", "../../.."),
        symlink("out", &target),
        symlink("proc-out", "/proc/self/root"),
    ]);
    for (path, expected) in [
        ("lib/one", "usr/lib/one"),
        ("slash/etc/two", "etc/two"),
        ("up/etc/three", "etc/three"),
        ("usr/up/etc/four", "etc/four"),
    ] {
        let op = sandbox.file(path, path, 0o644);
        sandbox.place(&[op]);
        assert_eq!(std::fs::read_to_string(sandbox.root().join(expected)).expect("to be there"), path);
    }
    for path in ["out/evil", "proc-out/evil"] {
        let op = sandbox.file(path, "evil", 0o644);
        let error = sandbox.session().place(&[op]).expect_err("it leads nowhere");
        assert!(matches!(error, SandboxError::Place { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).expect("a folder").count(), 0);
    // Through the link, inside: a folder of that name in the image.
    let inside = target.trim_start_matches('/').to_owned();
    let op = sandbox.file("out/good", "good", 0o644);
    sandbox.place(&[directory(&inside), op]);
    assert_eq!(sandbox.session().read(&format!("{inside}/good")).expect("to be read"), Some(b"good".to_vec()));
    assert_eq!(std::fs::read_dir(outside.path()).expect("a folder").count(), 0);
}

#[test]
fn names_that_lead_out_are_refused() {
    let Some(mut sandbox) = sandbox() else { return };
    for path in ["../x", "a/../../x", "..", "", "/", "a/\0b"] {
        let error = sandbox.session().place(&[symlink(path, "x")]).expect_err("a bad path");
        assert!(matches!(&error, SandboxError::BadPath { path: shown } if shown == path), "{path:?}: {error}");
    }
    let mut op = sandbox.file("fine", "", 0o644);
    if let PlaceOp::File { content, .. } = &mut op {
        *content = "../../../etc/passwd".to_owned();
    }
    assert!(matches!(sandbox.session().place(&[op]), Err(SandboxError::BadPath { .. })));
    assert_eq!(
        sandbox.session().read("../../../../etc/hostname").map_err(|error| error.to_string()),
        Err("`../../../../etc/hostname` is no path inside an image".to_owned())
    );
}

#[test]
fn metadata_arrives_whole() {
    let Some(mut sandbox) = sandbox() else { return };
    let capability: Vec<u8> = [0x0200_0001_u32, 0x2000, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    std::fs::write(sandbox.scratch.join("content/ping"), "ping").expect("content");
    sandbox.place(&[
        PlaceOp::Directory { path: "var/mail".to_owned(), mode: 0o2775, uid: 3, gid: 8, mtime: 5 },
        PlaceOp::File {
            path: "usr/bin/ping".to_owned(),
            content: "content/ping".to_owned(),
            mode: 0o4754,
            uid: 7,
            gid: 65534,
            mtime: -3,
            xattrs: BTreeMap::from([
                ("security.capability".to_owned(), capability),
                ("user.note".to_owned(), b"x".to_vec()),
            ]),
        },
        PlaceOp::Symlink { path: "l".to_owned(), target: "nowhere at all".to_owned(), uid: 9, gid: 10, mtime: 11 },
        PlaceOp::HardLink { path: "usr/bin/ping6".to_owned(), target: "/usr/bin/ping".to_owned() },
        PlaceOp::SetDirectoryTime { path: "usr/bin".to_owned(), mtime: 12 },
        PlaceOp::SetMetadata { path: "bin".to_owned(), mode: 0o750, uid: 1, gid: 2 },
    ]);
    let text = crate::tree::text(&mut sandbox);
    for line in [
        "var 40755 0:0",
        "var/mail 42775 3:8 @5",
        "usr/bin 40755 0:0 @12",
        "usr/bin/ping 104754 7:65534 @-3 size 4 security.capability=0100000200200000000000000000000000000000 user.note=78",
        "usr/bin/ping6 = usr/bin/ping",
        "l 120777 9:10 @11 -> nowhere at all",
        "bin 40750 1:2",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}\nin\n{text}");
    }
}

/// What a cached layer is put back by: parts of one file, pipes and sockets, and attributes of folders that what is in them must not inherit.
#[test]
fn parts_of_a_file_special_files_and_folders_attributes_arrive_whole() {
    let Some(mut sandbox) = sandbox() else { return };
    let large = vec![b'l'; 300_000];
    let mut pack = b"before".to_vec();
    pack.extend_from_slice(&large);
    pack.extend_from_slice(b"small");
    std::fs::write(sandbox.scratch.join("content/pack"), pack).expect("a pack");
    let slice = |path: &str, offset, size, mode, uid| PlaceOp::Slice {
        path: path.to_owned(),
        content: "content/pack".to_owned(),
        offset,
        size,
        mode,
        uid,
        gid: 0,
        mtime: 7,
        xattrs: BTreeMap::from([("user.note".to_owned(), b"x".to_vec())]),
    };
    let special =
        |path: &str, socket| PlaceOp::Special { path: path.to_owned(), socket, mode: 0o620, uid: 4, gid: 5, mtime: 9 };
    // Linux, posix_acl_xattr.h: version 2, then tag, permissions and id of each entry: owner, group 8, owning group, mask, others.
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (4, 5, u32::MAX), (8, 5, 8), (16, 5, u32::MAX), (32, 5, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
    }
    let acl = BTreeMap::from([("system.posix_acl_default".to_owned(), list)]);
    sandbox.place(&[
        directory("d"),
        slice("d/large", 6, 300_000, 0o4755, 3),
        slice("d/small", 300_006, 5, 0o600, 0),
        // In the place of another file.
        slice("d/small", 300_006, 5, 0o640, 0),
        special("pipe", false),
        special("socket", true),
        PlaceOp::SetDirectoryAttributes { path: "d".to_owned(), xattrs: acl },
        PlaceOp::SetDirectoryTime { path: "d".to_owned(), mtime: 8 },
    ]);
    assert_eq!(sandbox.session().read("d/large").expect("a file"), Some(large));
    assert_eq!(sandbox.session().read("d/small").expect("a file"), Some(b"small".to_vec()));
    let text = crate::tree::text(&mut sandbox);
    for line in [
        "d 40755 0:0 @8 system.posix_acl_default=02000000",
        "d/large 104755 3:0 @7 size 300000 user.note=78",
        "d/small 100640 0:0 @7 size 5 user.note=78",
        "pipe 10620 4:5 @9",
        "socket 140620 4:5 @9",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}\nin\n{text}");
    }
    let error = sandbox.session().place(&[slice("d/beyond", 300_006, 6, 0o644, 0)]).expect_err("it is cut off");
    assert!(error.to_string().contains("d/beyond"), "{error}");
}

#[test]
fn what_exists_gives_way_as_dpkg_has_it() {
    let Some(mut sandbox) = sandbox() else { return };
    let (one, two) = (sandbox.file("d/f", "one", 0o644), sandbox.file("other", "two", 0o600));
    sandbox.place(&[directory("d"), one, two, symlink("to-d", "d"), symlink("s", "x")]);
    // A folder over a folder, or over a link to one: stays, with its mode.
    let strict = |path: &str| PlaceOp::Directory { path: path.to_owned(), mode: 0o700, uid: 5, gid: 5, mtime: 1 };
    sandbox.place(&[strict("d"), strict("to-d"), strict("/"), strict("./")]);
    let found = std::fs::metadata(sandbox.root().join("d")).expect("a folder");
    assert_eq!(found.mode() & 0o7777, 0o755);
    assert!(std::fs::symlink_metadata(sandbox.root().join("to-d")).expect("a link").is_symlink());
    // Files and links over anything but a folder.
    let replacing = sandbox.file("s", "new", 0o644);
    sandbox.place(&[
        replacing,
        symlink("other", "d/f"),
        PlaceOp::HardLink { path: "d/g".to_owned(), target: "d/f".to_owned() },
    ]);
    sandbox.place(&[
        PlaceOp::HardLink { path: "d/g".to_owned(), target: "d/f".to_owned() },
        PlaceOp::HardLink { path: "other".to_owned(), target: "d/f".to_owned() },
    ]);
    assert_eq!(std::fs::metadata(sandbox.root().join("other")).expect("a file").nlink(), 3);
    let over_folder = sandbox.file("d", "", 0o644);
    for op in [over_folder, symlink("d", "x"), PlaceOp::HardLink { path: "d".to_owned(), target: "s".to_owned() }] {
        let error = sandbox.session().place(&[op]).expect_err("a folder stays");
        assert!(error.to_string().contains("replace the folder that is there"), "{error}");
    }
    let over_file = sandbox.session().place(&[directory("d/f")]).expect_err("a file stays");
    assert!(over_file.to_string().contains("since something else is there"), "{over_file}");
    // Renames, also where both names are one file; removal, also of what is not there.
    let rename = |from: &str, to: &str| PlaceOp::Rename { from: from.to_owned(), to: to.to_owned() };
    let remove = |path: &str| PlaceOp::Remove { path: path.to_owned() };
    sandbox.place(&[rename("s", "renamed"), rename("d/g", "d/f"), remove("d"), remove("d"), remove("no/such/thing")]);
    assert_eq!(
        sandbox.out("ls /d /s /renamed 2>&1 || true"),
        "ls: /d: No such file or directory\nls: /s: No such file or directory\n/renamed\n"
    );
}

#[test]
fn a_replaced_folder_is_not_remembered() {
    let Some(mut sandbox) = sandbox() else { return };
    let files: Vec<_> =
        ["a/one", "a/two", "link/three", "link/four"].map(|path| sandbox.file(path, path, 0o644)).into();
    let [one, two, three, four] = files.try_into().expect("four");
    sandbox.place(&[
        directory("a"),
        directory("b"),
        one,
        PlaceOp::Remove { path: "a".to_owned() },
        symlink("a", "b"),
        two,
        symlink("link", "a"),
        three,
        directory("c"),
        symlink("link", "c"),
        four,
    ]);
    assert_eq!(sandbox.out("ls /b /c"), "/b:\nthree\ntwo\n\n/c:\nfour\n");
}

#[test]
fn files_are_read_as_the_image_sees_them() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.out("echo x > /secret; chmod 000 /secret; chown 1000 /secret; mkfifo /fifo");
    sandbox.place(&[symlink("etc/link", "/etc/passwd"), symlink("etc/nowhere", "/x/y")]);
    let session = sandbox.session();
    assert!(session.read("/etc/link").expect("to be read").expect("to be there").starts_with(b"root:"));
    assert_eq!(session.read("secret").expect("to be read"), Some(b"x\n".to_vec()));
    assert_eq!(session.read("etc/nowhere").expect("to be read"), None);
    assert_eq!(session.read("etc/passwd/x").expect("to be read"), None);
    assert!(session.read("etc").is_err());
    assert!(session.read("fifo").is_err());
}

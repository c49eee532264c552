use std::fmt::Write as _;

use super::*;
use crate::deb::unpack::{UnpackLimits, unpack_from};
use crate::test_deb::{TestDeb, TestEntry};
use tar::EntryType;

const EPOCH: i64 = 1_500_000_000;
/// The time of what a [`TestDeb`] brings.
const BROUGHT: i64 = 1_000_000_000;

/// An image of a merged `/usr` with libc-bin and man-db in its base, and `server` and `needed` installed together.
fn image() -> RootTree {
    let mut tree = RootTree::new(0);
    for folder in
        ["usr", "usr/bin", "usr/lib", "usr/share", "usr/share/doc", "etc", "etc/server.d", "etc/other.d", "var", "srv"]
    {
        let time = if folder == "srv" { BROUGHT + 1 } else { EPOCH + 1 };
        tree.insert(folder, Inode::new(Kind::Directory, 0o755, 0, 0, time)).unwrap();
    }
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("usr/alias", "../srv")] {
        tree.insert(link, Inode::new(Kind::Symlink(target.to_owned()), 0o777, 0, 0, EPOCH)).unwrap();
    }
    let mut status = String::new();
    let packages = [
        ("libc-bin", ""),
        ("man-db", ""),
        ("needed", ""),
        ("openssl", ""),
        ("other", "Depends: added | needed\n"),
        ("server", "Depends: needed\n"),
    ];
    for (name, fields) in packages {
        let _ =
            write!(status, "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n{fields}\n");
    }
    let script = "#!/bin/sh\n# This has nothing to do with less.\nif command -v frob; then frob /etc/server.d/*; fi\n";
    for (path, content) in [
        ("var/lib/dpkg/status", status.as_str()),
        ("var/lib/dpkg/diversions", "/usr/bin/sh\n/usr/bin/sh.distrib\nserver\n"),
        ("var/lib/dpkg/statoverride", "root root 2755 /usr/bin/privileged\n"),
        ("var/lib/dpkg/triggers/File", "/usr/share/man man-db/noawait\n"),
        ("var/lib/dpkg/triggers/ldconfig", "libc-bin\n"),
        ("var/lib/dpkg/triggers/rebuild", "server/noawait\n"),
        ("var/lib/dpkg/info/server.list", "/.\n/usr\n/usr/bin\n/usr/bin/server\n/usr/bin/gone\n"),
        ("var/lib/dpkg/info/openssl.postinst", script),
        ("var/lib/dpkg/info/libc-bin.postinst", "#!/bin/sh\nwaiting-one\n"),
        ("var/lib/dpkg/info/needed.list", "/.\n"),
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("usr/bin/server", "x"),
    ] {
        tree.create_parents(path, EPOCH + 1).unwrap();
        tree.write_file(path, content.as_bytes(), 0o644, 0, 0, EPOCH).unwrap();
    }
    tree
}

/// What is said of these packages; nothing if they commute.
fn refusal(added: &[TestDeb]) -> String {
    let (tree, scratch) = (image(), tempfile::tempdir().unwrap());
    let unpack =
        |deb: &TestDeb| unpack_from(deb.build().unwrap().as_slice(), scratch.path(), &UnpackLimits::default()).unwrap();
    let added: Vec<UnpackedPackage> = added.iter().map(unpack).collect();
    let image = InstalledImage::new(&tree, TOGETHER, EPOCH);
    image.check(&added.iter().collect::<Vec<_>>()).err().map(|refusal| refusal.to_string()).unwrap_or_default()
}

/// What a clean build installs along with the added packages.
const TOGETHER: [&str; 4] = ["needed", "openssl", "server", "other"];

fn deb() -> TestDeb {
    TestDeb::new("tool", "1").dir("./usr/").dir("./usr/bin/").file("./usr/bin/tool", "x")
}

fn library(name: &str) -> TestDeb {
    let path = format!("./lib/{name}.so.1");
    TestDeb::new(name, "1").dir("./lib/").file(&path, "x").control_file("triggers", "activate-noawait ldconfig\n")
}

#[test]
fn programs_libraries_texts_and_configuration_files_of_their_own_commute() {
    let conffile = |deb: TestDeb, path: &str| {
        let listed = format!("{path}\n");
        deb.dir("./etc/").file(&format!(".{path}"), "x").control_file("conffiles", &listed).control_file("md5sums", "")
    };
    for added in [
        vec![deb()],
        vec![
            deb()
                .field("Depends", "libc6, needed")
                .symlink("./usr/bin/alias", "tool")
                .hard_link("./usr/bin/more", "./usr/bin/tool"),
        ],
        vec![library("libone1"), library("libtwo1"), deb().field("Depends", "libone1")],
        // One call of ldconfig is enough for all.
        vec![library("libone1"), TestDeb::new("plugin", "1").file("./usr/lib/libplugin.so", "x")],
        vec![conffile(deb(), "/etc/tool.conf")],
        vec![deb().dir("./etc/tool.d/").dir("./etc/other.d/").file("./etc/other.d/tool", "x")],
        vec![
            deb()
                .dir("./usr/share/")
                .dir("./usr/share/doc/")
                .dir("./usr/share/doc/tool/")
                .file("./usr/share/doc/tool/frob", "x"),
        ],
        vec![deb().control_file("triggers", "activate nobody-waits\nactivate /usr/share/tool\n")],
        // Whoever has no script does not care what is said where it does nothing.
        vec![TestDeb::new("less", "1").dir("./bin/").file("./bin/less", "x")],
    ] {
        assert_eq!(refusal(&added), "", "{added:?}");
    }
}

#[test]
fn what_does_not_commute_is_refused_with_the_reason() {
    let of = |owner: (u64, u64), user: &str| TestEntry {
        name: b"./usr/bin/x".to_vec(),
        owner,
        owner_names: (user.to_owned(), "root".to_owned()),
        ..TestEntry::default()
    };
    let folder =
        |mode| TestEntry { name: b"./usr/".to_vec(), kind: EntryType::Directory, mode, ..TestEntry::default() };
    let new = |name| TestDeb::new(name, "1");
    let cases = [
        (vec![deb().control_file("postinst", "#!/bin/sh\n")], "tool has a postinst"),
        (vec![deb().control_file("templates", "")], "tool has a templates"),
        (vec![deb().control_file("triggers", "interest-noawait /usr\n")], "tool waits for triggers"),
        (vec![deb().field("Essential", "yes")], "tool is essential"),
        (vec![deb().field("Pre-Depends", "libc6")], "tool has Pre-Depends"),
        (vec![new("added").field("Depends", "server")], "the other packages are installed in another order with them"),
        (vec![deb().control_file("triggers", "activate rebuild\n")], "tool sets off rebuild, for which server waits"),
        (
            vec![deb().control_file("triggers", "activate /usr/share/man\n")],
            "tool sets off /usr/share/man, for which man-db waits",
        ),
        (
            vec![deb().dir("./usr/share/").dir("./usr/share/man/")],
            "tool sets off /usr/share/man, for which man-db waits",
        ),
        (
            vec![deb().file("./usr/share/man/tool.1", "x")],
            "tool sets off /usr/share/man/tool.1, for which man-db waits",
        ),
        (vec![deb().file("./usr/lib/libx.so.1", "x")], "tool brings /usr/lib/libx.so.1 and does not call ldconfig"),
        (
            vec![deb().file("./etc/ld.so.conf.d/x.conf", "x")],
            "tool brings /etc/ld.so.conf.d/x.conf and does not call ldconfig",
        ),
        (vec![deb().file("./bin/server", "x")], "tool brings /bin/server, which is there already"),
        (vec![deb().symlink("./srv", "usr")], "tool brings /srv, which is there already"),
        (vec![deb().file("./usr/bin/gone", "x")], "tool brings /usr/bin/gone, which is another package's, and is gone"),
        (vec![deb(), new("twin").file("./bin/tool", "x")], "twin brings /bin/tool, which is there already"),
        (vec![deb().file("./usr/alias/x", "x")], "tool brings /usr/alias/x, which lies behind a link"),
        (vec![new("tool").entry(folder(0o700))], "tool brings /usr, which is there already"),
        (vec![deb().dir("./srv/")], "tool brings /srv, which is a folder with another time"),
        (vec![deb().entry(of((0, 5), "root"))], "tool brings /usr/bin/x, which is not root's"),
        (vec![deb().entry(of((0, 0), "_made_by_a_script"))], "tool brings /usr/bin/x, which is not root's"),
        (vec![deb().file("./usr/bin/sh", "x")], "tool brings /usr/bin/sh, which is diverted"),
        (vec![deb().file("./usr/bin/sh.distrib", "x")], "tool brings /usr/bin/sh.distrib, which is diverted"),
        (
            vec![deb().file("./bin/privileged", "x")],
            "tool brings /bin/privileged, which has another owner or mode in the image",
        ),
        (vec![deb().file("./bin/frob", "x")], "openssl.postinst speaks of frob, which tool brings"),
        (vec![deb().file("./bin/waiting-one", "x")], "libc-bin.postinst speaks of waiting-one, which tool brings"),
        (vec![new("frob").file("./opt/x", "x")], "openssl.postinst speaks of frob, which frob brings"),
        (vec![deb().file("./etc/frob", "x")], "openssl.postinst speaks of frob, which tool brings"),
        (vec![deb().file("./etc/server.d/x", "x")], "openssl.postinst speaks of /etc/server.d, which tool brings"),
        (
            vec![deb().control_file("triggers", "no such word\n")],
            "the package tool cannot be installed: its triggers file has the line `no such word`",
        ),
    ];
    for (added, expected) in cases {
        assert_eq!(refusal(&added), expected, "{added:?}");
    }
}

/// What is there first in a clean build is not known here; so both must be the same, or not be left as they are.
#[test]
fn an_empty_folder_of_two_must_have_one_time() {
    let empty = |name, time: &str| {
        let extensions = vec![("mtime".to_owned(), time.as_bytes().to_vec())];
        let entry = TestEntry {
            name: b"./srv/new/".to_vec(),
            kind: EntryType::Directory,
            mode: 0o755,
            extensions,
            ..TestEntry::default()
        };
        TestDeb::new(name, "1").entry(entry)
    };
    assert_eq!(refusal(&[empty("one", "7"), empty("two", "7")]), "");
    let expected = "two brings /srv/new, which is a folder with another time";
    assert_eq!(refusal(&[empty("one", "7"), empty("two", "8")]), expected);
    assert_eq!(refusal(&[empty("one", "7"), empty("two", "8").file("./srv/new/file", "x")]), "");
}

#[test]
fn nothing_is_added_to_packages_whose_scripts_nobody_has_read() {
    let (mut tree, scratch) = (image(), tempfile::tempdir().unwrap());
    let (path, script) = ("var/lib/dpkg/info/server.config", b"#!/bin/sh\nsee-what-is-there\n".as_slice());
    tree.write_file(path, script, 0o755, 0, 0, EPOCH).unwrap();
    let unpacked = unpack_from(deb().build().unwrap().as_slice(), scratch.path(), &UnpackLimits::default()).unwrap();
    let refused = |together: &[&'static str]| {
        let image = InstalledImage::new(&tree, together.iter().copied(), EPOCH);
        image.check(&[&unpacked]).err().map(|refusal| refusal.to_string())
    };
    let expected = "nobody has read server.config, which may look at what is there";
    assert_eq!(refused(&TOGETHER).as_deref(), Some(expected));
    // A script of the base ran before either.
    assert_eq!(refused(&["needed", "openssl", "other"]), None);
}

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;
use miette::Diagnostic as _;
use sha2::Digest as _;
use tar::{EntryType, Header};

use super::*;
use crate::test_deb::{TestCompression, TestDeb, TestEntry, ar};

fn unpack_bytes(bytes: &[u8], scratch: &Path) -> Result<UnpackedPackage, UnpackProblem> {
    unpack_from(bytes, scratch, &UnpackLimits::default())
}

fn sample() -> TestDeb {
    TestDeb::new("sample", "1.0-1")
        .control_file("preinst", "#!/bin/sh\n")
        .control_file("conffiles", "/etc/sample.conf\nremove-on-upgrade /etc/old.conf\n")
        .dir("./etc/")
        .file("./etc/sample.conf", "a=1\n")
        .dir("./usr/")
        .dir("./usr/bin/")
        .entry(TestEntry {
            name: b"./usr/bin/tool".to_vec(),
            mode: 0o4755,
            owner: (0, 42),
            owner_names: ("root".to_owned(), "shadow".to_owned()),
            content: b"tool".to_vec(),
            extensions: vec![("SCHILY.xattr.security.capability".to_owned(), b"\x01\x00\x00\x02".to_vec())],
            ..TestEntry::default()
        })
        .hard_link("./usr/bin/again", "./usr/bin/tool")
        .symlink("./usr/bin/alternative", "/etc/alternatives/tool")
}

#[test]
fn every_compression_gives_the_same() {
    for compression in [TestCompression::None, TestCompression::Gzip, TestCompression::Xz, TestCompression::Zstd] {
        let scratch = tempfile::tempdir().unwrap();
        let bytes = sample().compression(compression).build().unwrap();
        let package = unpack_bytes(&bytes, scratch.path()).unwrap();
        let listing: Vec<_> = package.entries.iter().map(|entry| (entry.path.as_str(), entry.mode)).collect();
        let expected = [
            ("", 0o755),
            ("etc", 0o755),
            ("etc/sample.conf", 0o644),
            ("usr", 0o755),
            ("usr/bin", 0o755),
            ("usr/bin/tool", 0o4755),
            ("usr/bin/again", 0o4755),
            ("usr/bin/alternative", 0o777),
        ];
        assert_eq!(listing, expected, "{compression:?}");
        let tool = &package.entries[5];
        assert_eq!((tool.uid, tool.gid, tool.group.as_deref()), (0, 42, Some("shadow")));
        let EntryKind::File { content, xattrs, md5, .. } = &tool.kind else { panic!("{tool:?}") };
        assert_eq!(content, "content/sample/1");
        assert_eq!(xattrs, &BTreeMap::from([("security.capability".to_owned(), b"\x01\x00\x00\x02".to_vec())]));
        assert_eq!(md5.as_deref(), Some("39ab32c5aeb56c9f5ae17f073ce31023"));
        assert_eq!(fs::read(scratch.path().join(content)).unwrap(), b"tool");
        let metadata = fs::metadata(scratch.path().join(content)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o755, 1_000_000_000));
        assert_eq!(package.entries[6].kind, EntryKind::HardLink { target: "usr/bin/tool".to_owned() });
        assert_eq!(package.control_files.get("preinst"), Some(b"#!/bin/sh\n".as_slice()));
        let conffiles: Vec<_> =
            package.control_files.conffiles.iter().map(|file| (file.path.as_str(), file.remove_on_upgrade)).collect();
        assert_eq!(conffiles, [("etc/sample.conf", false), ("etc/old.conf", true)]);
    }
}

#[test]
fn no_digest_is_made_for_a_package_that_brings_its_own() {
    let scratch = tempfile::tempdir().unwrap();
    let bytes = sample().control_file("md5sums", "").build().unwrap();
    let package = unpack_bytes(&bytes, scratch.path()).unwrap();
    assert!(matches!(&package.entries[2].kind, EntryKind::File { md5: None, .. }));
}

#[test]
fn long_names_are_read() {
    let folder = "x".repeat(150);
    let path = format!("./{folder}/{}", "y".repeat(150));
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in [("./", EntryType::Directory), (&format!("./{folder}/"), EntryType::Directory)] {
        tar.append_data(&mut header(".", kind, 0), name, io::empty()).unwrap();
    }
    tar.append_data(&mut header(".", EntryType::Regular, 1), &path, b"z".as_slice()).unwrap();
    let bytes = deb_with_data("data.tar", &tar.into_inner().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let package = unpack_bytes(&bytes, scratch.path()).unwrap();
    assert_eq!(package.entries[2].path, path[2..]);
}

#[test]
fn zeros_become_holes() {
    let scratch = tempfile::tempdir().unwrap();
    let mut content = vec![0; 4 << 20];
    content[1 << 20] = 1;
    let entry = TestEntry { name: b"./sparse".to_vec(), content: content.clone(), ..TestEntry::default() };
    let bytes = TestDeb::new("sample", "1").entry(entry).build().unwrap();
    let package = unpack_bytes(&bytes, scratch.path()).unwrap();
    let EntryKind::File { content: path, .. } = &package.entries[1].kind else { panic!() };
    let path = scratch.path().join(path);
    assert_eq!(fs::read(&path).unwrap(), content);
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn sparse_entries_are_filled() {
    let mut header = header("./sparse", EntryType::GNUSparse, 512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset.copy_from_slice(b"00000010000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000001000\0");
    gnu.set_real_size(4096 + 512);
    header.set_cksum();
    let bytes = TestDeb::new("sample", "1").raw(header, &[7; 512]).build().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let package = unpack_bytes(&bytes, scratch.path()).unwrap();
    let EntryKind::File { content, size, .. } = &package.entries[1].kind else { panic!() };
    let found = fs::read(scratch.path().join(content)).unwrap();
    assert_eq!(*size, 4608);
    assert_eq!((&found[..4096], &found[4096..]), ([0; 4096].as_slice(), [7; 512].as_slice()));
}

#[test]
fn hostile_entries_are_refused_by_name() {
    let deb = || TestDeb::new("hostile", "1");
    let too_long = format!("its entry `{}…` has a name that is too long", "n".repeat(200));
    let kind = |kind: EntryType| deb().entry(TestEntry { name: b"./dev/x".to_vec(), kind, ..TestEntry::default() });
    let cases: Vec<(&str, TestDeb, &str)> = vec![
        ("parent", deb().file("./../etc/passwd", ""), "its entry `./../etc/passwd` has `..` in its name"),
        ("inner parent", deb().file("./a/../../b", ""), "its entry `./a/../../b` has `..` in its name"),
        ("absolute", deb().file("/etc/passwd", ""), "its entry `/etc/passwd` has an absolute name"),
        (
            "not UTF-8",
            deb().entry(TestEntry { name: b"./caf\xe9".to_vec(), ..TestEntry::default() }),
            "its entry `./caf\u{fffd}` has a name that is not UTF-8",
        ),
        ("line end", deb().file("./a\nb", ""), "its entry `./a\\nb` has a line end or a zero byte in its name"),
        (
            "huge name",
            deb().entry(TestEntry {
                name: b"./x".to_vec(),
                extensions: vec![("path".to_owned(), "n".repeat(300).into_bytes())],
                ..TestEntry::default()
            }),
            &too_long,
        ),
        (
            "hard link to an absolute name",
            deb().hard_link("./x", "/etc/shadow"),
            "its entry `x` is a hard link to `/etc/shadow`, which has an absolute name",
        ),
        (
            "hard link out",
            deb().hard_link("./x", "../../etc/shadow"),
            "its entry `x` is a hard link to `../../etc/shadow`, which has `..` in its name",
        ),
        (
            "hard link to what is not in the package",
            deb().hard_link("./x", "./etc/shadow"),
            "its entry `x` is a hard link to `etc/shadow`, which is no earlier file of the package",
        ),
        (
            "hard link to a link",
            deb().symlink("./l", "/etc/shadow").hard_link("./x", "./l"),
            "its entry `x` is a hard link to `l`, which is no earlier file of the package",
        ),
        (
            "through an absolute link",
            deb().symlink("./out", "/tmp").file("./out/x", ""),
            "its entry `out/x` lies below `out`, a link of the same package that leads to `/tmp`",
        ),
        (
            "through a climbing link",
            deb().dir("./a/").symlink("./a/out", "../../tmp").file("./a/out/x", ""),
            "its entry `a/out/x` lies below `a/out`, a link of the same package that leads to `../../tmp`",
        ),
        (
            "through a link that comes later",
            deb().file("./out/x", "").symlink("./out", "/tmp"),
            "its entry `out/x` lies below `out`, a link of the same package that leads to `/tmp`",
        ),
        (
            "below a file",
            deb().file("./f", "").file("./f/x", ""),
            "its entry `f/x` lies below `f`, which is a file of the same package",
        ),
        ("twice", deb().file("./f", "1").file("./f", "2"), "its entry `f` occurs twice"),
        ("twice, otherwise spelt", deb().file("./f", "1").symlink(".//f", "x"), "its entry `f` occurs twice"),
        ("character device", kind(EntryType::Char), "its entry `dev/x` is a device"),
        ("block device", kind(EntryType::Block), "its entry `dev/x` is a device"),
        ("pipe", kind(EntryType::Fifo), "its entry `dev/x` is a named pipe"),
        ("unknown", kind(EntryType::new(b'Z')), "its entry `dev/x` is of a kind that no package has (`Z`)"),
        ("root as a link", deb().symlink("./", "/tmp"), "its entry `.` takes the place of the root folder"),
        (
            "empty link",
            deb().symlink("./l", ""),
            "its entry `l` is a symbolic link whose target is empty, too long, or has a zero byte in it",
        ),
        (
            "impossible owner",
            deb().entry(TestEntry { name: b"./x".to_vec(), owner: (1 << 40, 0), ..TestEntry::default() }),
            "its entry `x` has an impossible owner",
        ),
        (
            "sparse in PAX form",
            deb().entry(TestEntry {
                name: b"./x".to_vec(),
                extensions: vec![("GNU.sparse.realsize".to_owned(), b"99999999999".to_vec())],
                ..TestEntry::default()
            }),
            "its entry `x` is a sparse file in a form that dpkg does not know",
        ),
    ];
    for (name, deb, expected) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let problem = unpack_bytes(&deb.build().unwrap(), scratch.path()).expect_err(name);
        assert_eq!(problem.to_string(), expected, "{name}");
        let code = problem.code().map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some("smolvm::deb::refused_entry"), "{name}");
        assert!(problem.help().is_some(), "{name}");
    }
}

#[test]
fn links_inside_the_tree_are_followed_in_names() {
    let scratch = tempfile::tempdir().unwrap();
    let deb =
        TestDeb::new("sample", "1").dir("./usr/").dir("./usr/lib/").symlink("./lib", "usr/lib").file("./lib/x", "");
    unpack_bytes(&deb.build().unwrap(), scratch.path()).unwrap();
}

#[test]
fn damaged_archives_are_refused() {
    let sound = sample().build().unwrap();
    let with = |data: &[u8]| deb_with_data("data.tar", data);
    let tar = sample().data_tar().unwrap();
    let control = ("control.tar", control_tar());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "it is too short to be an ar archive"),
        ("no ar", b"PK\x03\x04 something else".to_vec(), "it does not begin like an ar archive"),
        ("no members", b"!<arch>\n".to_vec(), "it is empty"),
        ("no format", ar(&[("control.tar", b"")]), "it is not a .deb of format 2"),
        ("other format", ar(&[("debian-binary", b"3.0\n")]), "it is not a .deb of format 2"),
        ("nothing else", ar(&[("debian-binary", b"2.0\n")]), "it has no control.tar"),
        ("no data", ar(&[("debian-binary", b"2.0\n"), (control.0, &control.1)]), "it has no data.tar"),
        (
            "data where control should be",
            ar(&[("debian-binary", b"2.0\n"), ("data.tar", &tar)]),
            "it has `data.tar` where control.tar should be",
        ),
        (
            "unknown compression",
            deb_with_data("data.tar.lz4", &tar),
            "`data.tar.lz4` is compressed in a way that is not known",
        ),
        ("cut", sound[..sound.len() - 40].to_vec(), "its content is damaged: it ends in the middle"),
        ("tar cut in a file", with(&tar[..4 * 512 + 100]), "its content is damaged: failed to read entire block"),
        ("not xz", deb_with_data("data.tar.xz", &tar), "its content is damaged: "),
        ("garbage for tar", with(&[0xff; 4096]), "its content is damaged: "),
    ];
    for (name, bytes, expected) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let problem = unpack_bytes(&bytes, scratch.path()).expect_err(name);
        assert!(problem.to_string().starts_with(expected), "{name}: {problem}");
        assert!(matches!(problem, UnpackProblem::Damaged { .. }), "{name}");
    }
}

#[test]
fn a_file_cut_short_is_an_error_at_every_length() {
    let tar = TestDeb::new("sample", "1").file("./f", &"x".repeat(3000)).data_tar().unwrap();
    let end_of_file = 512 + 512 + 3000;
    for length in (512 + 512..end_of_file).step_by(100) {
        let scratch = tempfile::tempdir().unwrap();
        let bytes = deb_with_data("data.tar", &tar[..length]);
        let problem = unpack_bytes(&bytes, scratch.path()).expect_err("cut");
        assert!(problem.to_string().ends_with("its file `f` is cut short"), "{length}: {problem}");
    }
}

#[test]
fn bombs_are_refused_before_they_fill_the_disk() {
    let limits = UnpackLimits { unsuspicious_bytes: 1 << 20, ..UnpackLimits::default() };
    let sparse = {
        let mut header = header("./sparse", EntryType::GNUSparse, 0);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.sparse[0].offset.copy_from_slice(b"77777777777\0");
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
        gnu.set_real_size(0o77_777_777_777);
        header.set_cksum();
        TestDeb::new("bomb", "1").raw(header, &[]).build().unwrap()
    };
    let zeros = TestEntry { name: b"./zeros".to_vec(), content: vec![0; 64 << 20], ..TestEntry::default() };
    let long_name = {
        let header = header("././@LongLink", EntryType::GNULongName, 8 << 20);
        TestDeb::new("bomb", "1").raw(header, &vec![b'n'; 8 << 20]).build().unwrap()
    };
    let control = {
        let deb = TestDeb::new("bomb", "1").control_file("postinst", &"x".repeat(2 << 20));
        deb.build().unwrap()
    };
    let many = (0..200).fold(TestDeb::new("bomb", "1"), |deb, number| deb.file(&format!("./{number}"), ""));
    let cases = [
        ("zeros", TestDeb::new("bomb", "1").entry(zeros).build().unwrap(), limits, "it holds more than "),
        ("sparse", sparse, limits, "it holds more than "),
        ("long name", long_name, UnpackLimits::default(), "it holds an entry whose name and attributes are endless"),
        ("control", control, UnpackLimits { control_bytes: 1 << 20, ..limits }, "it holds more than 1 MiB"),
        ("many", many.build().unwrap(), UnpackLimits { entries: 100, ..limits }, "it holds more than 100 files"),
    ];
    for (name, bytes, limits, expected) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let problem = unpack_from(bytes.as_slice(), scratch.path(), &limits).expect_err(name);
        assert!(problem.to_string().starts_with(expected), "{name}: {problem}");
        assert!(matches!(problem, UnpackProblem::TooLarge { .. }), "{name}");
    }
}

#[test]
fn unusual_control_members_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_link(&mut header(".", EntryType::Symlink, 0), "./control", "/etc/shadow").unwrap();
    let control = tar.into_inner().unwrap();
    let bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", b"")]);
    let problem = unpack_bytes(&bytes, scratch.path()).unwrap_err();
    assert_eq!(problem.to_string(), "its entry `control` has no place among the control files");
}

#[test]
fn the_package_must_be_the_locked_one_and_otherwise_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = TestDeb::new("a", "1").file("./x", "x").build().unwrap();
    let path = folder.path().join("a.deb");
    fs::write(&path, &bytes).unwrap();
    let sha256: [u8; 32] = sha2::Sha256::digest(&bytes).into();
    let deb = VerifiedFile::from_local(&path, bytes.len() as u64, sha256).unwrap();
    let scratch = folder.path().join("scratch");
    let limits = UnpackLimits::default();
    for (name, version, arch) in [("b", "1", "all"), ("a", "2", "all"), ("a", "1", "amd64")] {
        let error = unpack(deb.clone(), &locked(name, version, arch), &scratch, &limits).unwrap_err();
        let expected = format!(
            "the package {name} cannot be unpacked: it holds a 1 (all), and should hold {name} {version} ({arch})"
        );
        assert_eq!(error.to_string(), expected);
        assert!(read_control(deb.clone(), &locked(name, version, arch), &limits).is_err());
    }
    assert!(!scratch.exists());
    unpack(deb.clone(), &locked("a", "1", "all"), &scratch, &limits).unwrap();
    assert_eq!(read_control(deb, &locked("a", "1", "all"), &limits).unwrap().0.version, "1");
}

fn locked(name: &str, version: &str, arch: &str) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: arch.to_owned(),
        layer: smolvm_manifest::PackageLayer::User,
        archive: "debian".to_owned(),
        path: "pool/a.deb".to_owned(),
        size: 0,
        sha256: String::new(),
    }
}

/// A header for what [`TestEntry`] cannot say.
fn header(path: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

fn control_tar() -> Vec<u8> {
    let text = b"Package: sample\nVersion: 1\nArchitecture: all\n";
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header(".", EntryType::Regular, text.len() as u64), "./control", text.as_slice()).unwrap();
    tar.into_inner().unwrap()
}

fn deb_with_data(name: &str, data: &[u8]) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar()), (name, data)])
}

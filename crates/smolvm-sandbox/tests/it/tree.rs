//! Harvesting: the folder as a listing.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use smolvm_rootfs::{Content, Kind};
use smolvm_sandbox::SandboxError;

use crate::support::{Sandbox, sandbox, symlink};

/// A harvest as text: everything but contents, and times only where they were set on purpose.
pub(crate) fn text(sandbox: &mut Sandbox) -> String {
    let tree = sandbox.session().harvest().expect("a harvest");
    let mut text = String::new();
    let mut names = std::collections::BTreeMap::new();
    for (path, id, inode) in tree.iter() {
        if let Some(first) = names.get(&id) {
            writeln!(text, "{path} = {first}").expect("text");
            continue;
        }
        names.insert(id, path.to_owned());
        let (kind, more) = match &inode.kind {
            Kind::Directory => (0o40000, String::new()),
            Kind::File(content) => (0o100_000, format!(" size {}", content.size())),
            Kind::Symlink(target) => (0o120_000, format!(" -> {target}")),
            Kind::Fifo => (0o10000, String::new()),
            Kind::Socket => (0o140_000, String::new()),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => (0, "a device".to_owned()),
        };
        write!(text, "{path} {:o} {}:{}", kind | inode.mode, inode.uid, inode.gid).expect("text");
        if inode.mtime < 1_000_000_000 {
            write!(text, " @{}", inode.mtime).expect("text");
        }
        text += &more;
        for (name, value) in &inode.xattrs {
            write!(text, " {name}=").expect("text");
            for byte in value {
                write!(text, "{byte:02x}").expect("text");
            }
        }
        text.push('\n');
    }
    text
}

/// A folder with one of everything that owners, modes and links can make hard, as text with contents.
pub(crate) fn sample() -> Option<String> {
    let mut sandbox = sandbox()?;
    sandbox.out(
        "cd /tmp && mkdir -p shut/deep own && echo shadow > shadow && chown 0:42 shadow && chmod 640 shadow \
         && echo theirs > theirs && chown 1000:1000 theirs && chmod 600 theirs && echo none > none && chmod 000 none \
         && echo deep > shut/deep/f && chown 33:33 shut && chmod 700 shut && mkfifo own/fifo \
         && echo two > own/two && ln own/two own/zwei && ln -s /nowhere own/link && chown -h 5:5 own/link \
         && chmod 6755 own/two && dd if=/dev/zero of=sparse bs=1 count=1 seek=5000000 2> /dev/null && chown 7 sparse && chmod 600 sparse",
    );
    let listing = text(&mut sandbox);
    let tree = sandbox.session().harvest().expect("a harvest");
    let mut contents = String::new();
    for (path, _, inode) in tree.iter() {
        if let Kind::File(content) = &inode.kind
            && path.starts_with("tmp/")
        {
            let bytes = content.read().expect("the building user can read all contents");
            assert_eq!(bytes.len() as u64, content.size());
            writeln!(contents, "{path}: {:?}", String::from_utf8_lossy(&bytes).trim_matches('\0')).expect("text");
        }
    }
    // Neither harvest changed the folder, nor each other's copies.
    assert_eq!(text(&mut sandbox), listing);
    Some(listing + &contents)
}

#[test]
fn everything_is_listed_and_readable() {
    let Some(sample) = sample() else { return };
    for line in [
        "tmp/shadow 100640 0:42 size 7",
        "tmp/theirs 100600 1000:1000 size 7",
        "tmp/none 100000 0:0 size 5",
        "tmp/shut 40700 33:33",
        "tmp/own/fifo 10644 0:0",
        "tmp/own/two 106755 0:0 size 4",
        "tmp/own/zwei = tmp/own/two",
        "tmp/own/link 120777 5:5 -> /nowhere",
        "tmp/sparse 100600 7:0 size 5000001",
        "tmp/shut/deep/f: \"deep\\n\"",
        "tmp/theirs: \"theirs\\n\"",
        "tmp/none: \"none\\n\"",
        "tmp/own/zwei: \"two\\n\"",
    ] {
        assert!(sample.lines().any(|found| found == line), "{line}\nin\n{sample}");
    }
}

/// Writes the sample to a file for [`crate::plain_user::the_tree_is_the_same_for_root_and_user`].
#[test]
fn sample_for_another_test() {
    if let Some(path) = std::env::var_os("SMOLVM_TEST_SAMPLE") {
        std::fs::write(path, sample().unwrap_or_default()).expect("a file");
    }
}

#[test]
fn copies_keep_holes_and_are_made_only_where_needed() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.out(
        "cd /tmp; dd if=/dev/zero of=a bs=1 count=1 seek=5000000 2> /dev/null; chown 7 a; chmod 600 a; echo b > b",
    );
    let tree = sandbox.session().harvest().expect("a harvest");
    let place = |path: &str| match &tree.get(path).expect("to be there").kind {
        Kind::File(Content::File { path, .. }) => {
            path.strip_prefix(&sandbox.scratch).expect("in the folder").to_owned()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(place("tmp/b"), std::path::Path::new("root/tmp/b"));
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(place("tmp/a").starts_with("private"), !is_root);
    let blocks = std::os::unix::fs::MetadataExt::blocks(
        &std::fs::metadata(sandbox.scratch.join(place("tmp/a"))).expect("a file"),
    );
    assert!(blocks < 100, "{blocks}");
}

#[test]
fn a_name_that_is_not_utf8_is_told() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.out("mkdir /tmp/sub; touch \"/tmp/sub/caf$(printf '\\351')\"");
    let error = sandbox.session().harvest().expect_err("it cannot be listed");
    let SandboxError::NameNotUtf8 { shown } = &error else { panic!("{error}") };
    assert_eq!(shown, "/tmp/sub/caf\u{fffd}");
    // The session goes on.
    sandbox.out("rm /tmp/sub/*");
    assert!(sandbox.session().harvest().is_ok());
    // A link's target too.
    let target = std::ffi::OsStr::from_bytes(b"caf\xe9");
    assert!(target.to_str().is_none());
    sandbox.out("ln -s \"caf$(printf '\\351')\" /tmp/link");
    assert!(matches!(sandbox.session().harvest(), Err(SandboxError::NameNotUtf8 { .. })));
}

#[test]
fn a_very_deep_folder_is_harvested_and_removed() {
    let Some(mut sandbox) = sandbox() else { return };
    // Deeper than a path can say: each time, what is there moves to the bottom of something new.
    sandbox.out(
        "cd /tmp; path=$(printf 'd/%.0s' $(seq 500)); \
         for i in 1 2 3 4 5; do mkdir -p new/$path; test ! -e d || mv d new/$path; mv new/d d; rmdir new; done",
    );
    let error = sandbox.session().harvest().map(|_| ()).expect_err("no path is that long");
    assert!(error.to_string().ends_with("could not list it: File name too long (os error 36)"), "{error}");
    sandbox.place(&[symlink("fine", "x"), smolvm_sandbox::PlaceOp::Remove { path: "tmp/d".to_owned() }]);
    assert_eq!(sandbox.out("ls -A /tmp"), "");
}

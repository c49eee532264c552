//! A scratch folder in memory.

use std::path::Path;

use smolvm_rootfs::{Content, Kind};
use smolvm_sandbox::{CommandUser, Network, ON_DISK, PlaceOp, SandboxCommand};

use crate::support::{Sandbox, in_memory, start_over};

const BYTES: u64 = 64 << 20;

/// All names below a folder, as this process sees it.
fn names(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.path().strip_prefix(folder).expect("it to work").to_string_lossy().into_owned()).collect()
}

fn folder(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.folder.as_ref().expect("it to work").path().to_owned()
}

#[test]
fn nothing_of_it_reaches_the_disk_and_a_harvest_reads_it() {
    let Some((mut sandbox, _memory)) = in_memory(BYTES) else { return };
    sandbox.out("mkdir -p /a/b; echo text > /a/b/c; chmod 600 /a/b/c; chown 1000:1000 /a/b/c");
    let tree = sandbox.session().harvest().expect("it to work");
    let inode = tree.get("a/b/c").expect("it to work");
    let Kind::File(content @ Content::File { .. }) = &inode.kind else { panic!("{inode:?}") };
    assert_eq!((inode.uid, content.read().expect("it to work").as_ref()), (1000, b"text\n".as_slice()));
    assert_eq!(names(&folder(&sandbox)), ["content", ON_DISK]);
}

#[test]
fn one_session_finds_what_the_one_before_it_left() {
    let Some((mut sandbox, memory)) = in_memory(BYTES) else { return };
    sandbox.out("echo text > /left");
    sandbox.session.take().expect("it to work").close();
    sandbox.session = Some(start_over(&folder(&sandbox), Some(&memory), Network::Host));
    assert_eq!(sandbox.out("cat /left; id -u"), "text\n0\n");
}

#[test]
fn files_of_the_disk_are_found_in_it() {
    let Some((mut sandbox, _memory)) = in_memory(BYTES) else { return };
    std::fs::write(folder(&sandbox).join(ON_DISK).join("pack"), "one two three").expect("it to work");
    sandbox.place(&[PlaceOp::Slice {
        path: "part".to_owned(),
        content: format!("{ON_DISK}/pack"),
        offset: 4,
        size: 3,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 1000,
        xattrs: [("user.x".to_owned(), b"y".to_vec())].into(),
    }]);
    assert_eq!(sandbox.out("cat /part"), "two");
}

#[test]
fn it_holds_as_much_as_it_was_given_and_no_more() {
    let Some((mut sandbox, memory)) = in_memory(BYTES) else { return };
    let before = memory.free_bytes().expect("it to work");
    assert!(before > BYTES / 2 && before < BYTES, "{before}");
    let (output, status) = sandbox.sh("head -c 80000000 /dev/zero > /large");
    assert!(!status.success(), "{output}");
    assert!(memory.free_bytes().expect("it to work") < 1 << 20);
}

/// `sudo` is one: a sandbox of its own user namespace would not trust the file system of another one with them.
#[test]
fn programs_with_setuid_work_in_it() {
    let Some((mut sandbox, _memory)) = in_memory(BYTES) else { return };
    sandbox.out("rm -f /bin/su; cp /bin/busybox /bin/su; chmod 4755 /bin/su");
    let environment = vec![("PATH".to_owned(), "/bin".to_owned())];
    let mut command = SandboxCommand::new(["/bin/su", "-c", "id -u", "root"], environment);
    command.user = Some(CommandUser { uid: 1000, gid: 1000, groups: Vec::new() });
    let (output, status) = sandbox.run(&command);
    assert!(status.success() && output.trim() == "0", "{status}: {output}");
}

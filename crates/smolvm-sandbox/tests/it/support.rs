//! A small image to run things in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use smolvm_sandbox::{CommandStatus, MemoryFolder, Network, PlaceOp, SandboxCommand, SandboxOptions, Session, start};
use tempfile::TempDir;

pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// A session over a folder that holds a static busybox and what it needs.
pub(crate) struct Sandbox {
    pub(crate) session: Option<Session>,
    pub(crate) scratch: PathBuf,
    pub(crate) folder: Option<TempDir>,
}

impl Sandbox {
    pub(crate) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a session")
    }

    /// Runs a shell script as root; its output and how it ended.
    pub(crate) fn sh(&mut self, script: &str) -> (String, CommandStatus) {
        self.run(&shell(script))
    }

    /// Runs a shell script as root, which must end well.
    pub(crate) fn out(&mut self, script: &str) -> String {
        let (output, status) = self.sh(script);
        assert!(status.success(), "{status}: {output}");
        output
    }

    pub(crate) fn run(&mut self, command: &SandboxCommand) -> (String, CommandStatus) {
        let mut output = Vec::new();
        let status = self.session().run(command, &mut |bytes| output.extend(bytes)).expect("a run");
        (String::from_utf8(output).expect("UTF-8"), status)
    }

    pub(crate) fn place(&mut self, ops: &[PlaceOp]) {
        self.session().place(ops).expect("to be placed");
    }

    /// Places a file with this content.
    pub(crate) fn file(&mut self, path: &str, content: &str, mode: u32) -> PlaceOp {
        file(&self.scratch, path, content, mode)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.session = None;
        if let Some(folder) = self.folder.take() {
            smolvm_sandbox::remove_tree(&folder.keep()).expect("the folder to be removed");
        }
    }
}

/// A file operation whose content waits in the scratch folder.
pub(crate) fn file(scratch: &Path, path: &str, content: &str, mode: u32) -> PlaceOp {
    let name = format!("content/{}", path.replace('/', "_"));
    std::fs::write(scratch.join(&name), content).expect("content");
    PlaceOp::File { path: path.to_owned(), content: name, mode, uid: 0, gid: 0, mtime: 1000, xattrs: BTreeMap::new() }
}

pub(crate) fn directory(path: &str) -> PlaceOp {
    PlaceOp::Directory { path: path.to_owned(), mode: 0o755, uid: 0, gid: 0, mtime: 1000 }
}

pub(crate) fn symlink(path: &str, target: &str) -> PlaceOp {
    PlaceOp::Symlink { path: path.to_owned(), target: target.to_owned(), uid: 0, gid: 0, mtime: 1000 }
}

pub(crate) fn shell(script: &str) -> SandboxCommand {
    SandboxCommand::new(["sh", "-c", script], vec![("PATH".to_owned(), "/bin".to_owned())])
}

/// A sandbox without a network, or `None` (said on stderr) where this machine or user cannot have one.
pub(crate) fn sandbox() -> Option<Sandbox> {
    with_network(Network::None)
}

pub(crate) fn with_network(network: Network) -> Option<Sandbox> {
    if !can_run() {
        return None;
    }
    let folder = TempDir::new().expect("a folder");
    let scratch = folder.path().join("scratch");
    let session = start_in(&scratch, network);
    Some(filled(session, scratch, folder))
}

/// A sandbox whose folder is in memory of so many bytes, or `None` as for [`sandbox`].
pub(crate) fn in_memory(bytes: u64) -> Option<(Sandbox, MemoryFolder)> {
    if !can_run() {
        return None;
    }
    let folder = TempDir::new().expect("a folder");
    let memory = MemoryFolder::mount(folder.path(), bytes).expect("memory");
    let session = start_over(folder.path(), Some(&memory), Network::None);
    Some((filled(session, memory.path().to_owned(), folder), memory))
}

fn filled(session: Session, scratch: PathBuf, folder: TempDir) -> Sandbox {
    std::fs::copy(BUSYBOX, scratch.join("content/busybox")).expect("busybox");
    let mut sandbox = Sandbox { session: Some(session), scratch, folder: Some(folder) };
    let busybox = PlaceOp::File {
        path: "bin/busybox".to_owned(),
        content: "content/busybox".to_owned(),
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 1000,
        xattrs: BTreeMap::new(),
    };
    let passwd = sandbox.file("etc/passwd", "root::0:0::/:/bin/sh\ndev:x:1000:1000::/:/bin/sh\n", 0o644);
    sandbox.place(&[
        busybox,
        passwd,
        PlaceOp::Directory { path: "tmp".to_owned(), mode: 0o1777, uid: 0, gid: 0, mtime: 1000 },
    ]);
    let install = SandboxCommand::new(["/bin/busybox", "--install", "-s", "/bin"], Vec::new());
    assert_eq!(sandbox.run(&install), (String::new(), CommandStatus::Exited(0)));
    sandbox
}

pub(crate) fn start_in(scratch: &Path, network: Network) -> Session {
    start_over(scratch, None, network)
}

pub(crate) fn start_over(scratch: &Path, memory: Option<&MemoryFolder>, network: Network) -> Session {
    let (scratch, memory) = (scratch.to_owned(), memory.cloned());
    start(&SandboxOptions { scratch, memory, network, hostname: "builder".to_owned() }).expect("a session")
}

pub(crate) fn can_run() -> bool {
    // A dynamic program names its interpreter in a header of type PT_INTERP, among the first few headers.
    let is_static = std::fs::read(BUSYBOX).is_ok_and(|bytes| {
        bytes
            .get(64..)
            .is_some_and(|headers| !headers.chunks(56).take(12).any(|header| header.starts_with(&[3, 0, 0, 0])))
    });
    if !is_static {
        eprintln!("skipped: no static busybox at {BUSYBOX} (package busybox-static)");
        return false;
    }
    if !rustix::process::geteuid().is_root()
        && let Err(error) = smolvm_sandbox::check_host()
    {
        eprintln!("skipped: {error}");
        return false;
    }
    true
}

/// Processes of the whole machine whose command line has `mark` in it.
pub(crate) fn processes_with(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).split('\0').any(|word| word == mark))
        .count()
}

/// Waits for something that must happen soon.
pub(crate) fn soon(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..500 {
        if happened() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within 5 s: {what}");
}

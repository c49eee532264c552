//! The image, as the host sees it: who builds, with what, and what becomes of a build that is cut short.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::shared::{Shared, needs, shared};
use crate::support::{Ran, ran, run, smolvm};

#[test]
fn a_second_build_is_a_hit() {
    let Some(shared) = shared() else { return };
    let again = shared.run(&["build", "--json", "--offline"]).expect_code(0).data();
    assert_eq!(again["cached"], true, "{again}");
    for field in ["name", "key", "kernel", "initrd", "rootfs", "boot_args", "rootfs_blake3", "size_bytes"] {
        assert_eq!(again[field], shared.image[field], "{field}");
    }
    let store = shared.home.join(".smolvm/images");
    let store = store.to_str().expect("a path");
    let named = shared.run(&["build", "--offline", "--image-dir", store]).expect_code(0).stdout;
    assert!(named.contains(&format!("smolvm run --image-dir={store} project\n")), "{named}");
    let rootfs = std::fs::metadata(again["rootfs"].as_str().expect("a path")).expect("the root file system");
    assert_eq!(rootfs.permissions().mode() & 0o7777, 0o444);
    assert_eq!(Some(rootfs.len()), again["size_bytes"].as_u64());
    assert!(rootfs.blocks() * 512 < rootfs.len(), "no holes: {} of {}", rootfs.blocks() * 512, rootfs.len());
    if needs("e2fsck", Path::new("/usr/sbin/e2fsck").exists()) {
        let path = again["rootfs"].as_str().expect("a path");
        let judged = ran(Command::new("/usr/sbin/e2fsck").args(["-f", "-n", path]));
        assert_eq!(judged.code, Some(0), "{judged}");
    }
}

#[test]
fn render_shows_the_steps_and_the_guests_init() {
    let Some(shared) = shared() else { return };
    // The lock answers everything: no download, and so no network.
    let shown = shared.run(&["render", "--offline"]).expect_code(0).stdout;
    let (dockerfile, init) = shown.split_once("\n### /init\n").expect("two parts");
    assert!(dockerfile.contains("FROM debian:bookworm") && dockerfile.contains("built-by"), "{dockerfile}");
    assert!(init.starts_with("#!/bin/sh"), "{init}");
    let data = shared.run(&["render", "--offline", "--json"]).data();
    assert_eq!(data["init"], init, "the envelope holds another init");

    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("context");
    let out = folder.to_str().expect("a path");
    for _ in 0..2 {
        shared.run(&["render", "--offline", "--out", out]).expect_code(0);
    }
    assert_eq!(std::fs::read_to_string(folder.join("init")).expect("init"), init);
    let motd = files_below(&folder)
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok().filter(|text| text == "built by a test\n"));
    assert!(motd.is_some(), "the content of `files` is not there");
}

#[test]
fn an_image_can_be_listed_inspected_copied_and_removed() {
    let Some(shared) = shared() else { return };
    let key = shared.image["key"].as_str().expect("a key");
    let list = shared.run(&["image", "ls", "--json"]).data();
    let listed = list["images"].as_array().is_some_and(|images| images.iter().any(|image| image["key"] == key));
    assert!(listed, "{list}");
    let short = shared.run(&["image", "ls"]).expect_code(0).stdout;
    assert!(short.contains("project") && short.contains(&key[..12]), "{short}");
    for name in ["project", &key[..12]] {
        assert_eq!(shared.run(&["image", "inspect", name, "--json"]).data()["key"], key);
    }

    // A store of its own: the others still want the shared one.
    let store = tempfile::tempdir().expect("a folder");
    let output = store.path().join("output");
    let words = ["build", "--json", "--offline", "--image-dir", "store", "--output", "output"];
    let project = copy_of_project(shared, store.path());
    let built = ran(shared.smolvm().args(words).current_dir(&project)).expect_code(0).data();
    assert_eq!(built["rootfs_blake3"], shared.image["rootfs_blake3"], "a build from the cache alone has other bytes");
    let names: Vec<_> = files_below(&project.join("output"));
    assert!(names.len() >= 4, "{} holds {names:?}", output.display());
    let in_store =
        |words: &[&str]| ran(shared.smolvm().args(words).args(["--image-dir", "store"]).current_dir(&project));
    assert_eq!(in_store(&["image", "verify"]).expect_code(0).stdout, "project is what was built\n");
    change_a_byte(&project.join(built["kernel"].as_str().expect("a path")));
    let damaged = in_store(&["image", "verify", "--json"]).expect_code(1).envelope();
    let message = damaged["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("1 of 1 images damaged:\nproject: kernel hashes to "), "{damaged}");
    in_store(&["image", "rm", "project"]).expect_code(0);
    let left =
        ran(shared.smolvm().args(["image", "ls", "--json", "--image-dir", "store"]).current_dir(&project)).data();
    assert_eq!(left["images"], serde_json::json!([]));
}

/// In the middle of a file, whose size stays.
fn change_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("it is ours");
    std::fs::write(path, bytes).expect("it can be written");
}

#[test]
fn tools_of_the_host_are_not_needed() {
    let Some(shared) = shared() else { return };
    let scratch = tempfile::tempdir().expect("a folder");
    let project = copy_of_project(shared, scratch.path());
    let bin = scratch.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    for helper in ["newuidmap", "newgidmap"] {
        symlink(Path::new("/usr/bin").join(helper), bin.join(helper)).expect("a link");
    }
    let built = ran(smolvm(&project).args(["build", "--json"]).env("PATH", &bin)).expect_code(0).data();
    assert_eq!(built["rootfs_blake3"], shared.image["rootfs_blake3"]);
    assert_eq!(built["cached"], false);
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let Some(shared) = shared() else { return };
    for (stage, signal) in [("fetch", Signal::INT), ("install", Signal::TERM)] {
        let scratch = tempfile::tempdir().expect("a folder");
        let project = copy_of_project(shared, scratch.path());
        let cut = cut_short(&project, stage, signal).expect_code(130);
        assert!(cut.stderr.contains("stopping"), "{cut}");
        assert_eq!(cut.envelope()["error"]["code"], "smolvm::cli::interrupted");
        assert_eq!(big_files_below(&project.join(".smolvm")), [] as [PathBuf; 0], "left behind by {signal:?}");
        assert_eq!(run(&project, ["image", "ls", "--json"]).data()["images"], serde_json::json!([]));
    }
}

#[test]
fn after_a_build_that_was_killed_the_next_one_works_and_sweeps_up() {
    let Some(shared) = shared() else { return };
    let scratch = tempfile::tempdir().expect("a folder");
    let project = copy_of_project(shared, scratch.path());
    let cut = cut_short(&project, "install", Signal::KILL);
    assert_eq!(cut.code, None, "{cut}");
    let work_folders = || std::fs::read_dir(project.join(".smolvm/images/scratch")).map_or(0, Iterator::count);
    assert_ne!(work_folders(), 0, "it was killed too early to prove anything");
    assert_eq!(run(&project, ["image", "ls", "--json"]).data()["images"], serde_json::json!([]));

    let built = run(&project, ["build", "--json"]).expect_code(0).data();
    assert_eq!(built["rootfs_blake3"], shared.image["rootfs_blake3"]);
    let rootfs = PathBuf::from(built["rootfs"].as_str().expect("a path"));
    let image = rootfs.parent().expect("a folder");
    assert_eq!(work_folders(), 0, "left behind by the build that was killed");
    let mut left = big_files_below(&project.join(".smolvm"));
    left.retain(|path| !path.starts_with(image));
    assert_eq!(left, [] as [PathBuf; 0], "left behind by the build that was killed");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let Some(shared) = shared() else { return };
    let scratch = tempfile::tempdir().expect("a folder");
    let project = copy_of_project(shared, scratch.path());
    let mut build = Build::start(&project);
    build.wait_for(r#""event":"stage_progress","stage":"fetch""#);
    send(&build.child, Signal::INT);
    build.wait_for("stopping");
    send(&build.child, Signal::TERM);
    let ran = build.end().expect_code(130);
    assert_eq!(ran.stdout, "", "it took the time to say goodbye");
}

/// Sends a signal to a build as soon as it is at this stage, and waits for its end.
fn cut_short(project: &Path, stage: &str, signal: Signal) -> Ran {
    let mut build = Build::start(project);
    build.wait_for(&format!(r#""event":"stage_started","stage":"{stage}""#));
    // Into the stage, not at its first breath.
    std::thread::sleep(Duration::from_millis(150));
    send(&build.child, signal);
    build.end()
}

/// A build under way, and what it said so far.
struct Build {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Build {
    fn start(project: &Path) -> Self {
        let mut command = smolvm(project);
        command.args(["build", "--json", "--progress", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        Self { child, stderr, said: String::new() }
    }

    fn wait_for(&mut self, words: &str) {
        while !self.said.contains(words) {
            let read = self.stderr.read_line(&mut self.said).expect("stderr");
            assert_ne!(read, 0, "the build ended without saying {words}: {}", self.said);
        }
    }

    fn end(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).expect("stderr");
        let ran: Ran = self.child.wait_with_output().expect("the build ends").into();
        Ran { stderr: self.said, ..ran }
    }
}

fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(id, signal).expect("the signal is sent");
}

/// The shared project's Smolfile and lock in a folder of the same name, so that the image has the same key.
fn copy_of_project(shared: &Shared, folder: &Path) -> PathBuf {
    let project = folder.join("project");
    std::fs::create_dir(&project).expect("a folder");
    for name in ["Smolfile.yaml", "Smolfile.lock"] {
        std::fs::copy(shared.project().join(name), project.join(name)).expect("a copy");
    }
    project
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Files that are more than an index entry or a lock. Layers are whole or not there, and stay.
fn big_files_below(folder: &Path) -> Vec<PathBuf> {
    let layers = folder.join("images/layers");
    files_below(folder)
        .into_iter()
        .filter(|path| !path.starts_with(&layers))
        .filter(|path| std::fs::symlink_metadata(path).is_ok_and(|file| file.len() > 4096))
        .collect()
}

//! Full disks: the daemon's, and the store's.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use smolvm_build::{Events, FailureClass, build};

use super::daemon::Docker;
use super::{build_by_docker, check, literally, options, told};
use crate::disk_full::SmallDisk;
use crate::support::{debian_host, has, is_root, programs_are_here, runtime};

const PATIENCE: Duration = Duration::from_mins(1);
const MEBIBYTES: (&str, &str) = (r"\(\d+ MiB free\)", "([N] MiB free)");
const RECORDS: (&str, &str) = (r"\d+\+0 records", "[N] records");
const USAGE: (&str, &str) = (r"images \d+ MB, containers \d+ MB, build cache \d+ MB", "[what Docker keeps]");

#[test]
fn a_step_that_fills_the_daemons_disk() {
    let Some(daemon) = DaemonOnASmallDisk::start() else { return };
    let image = daemon.docker.import("full");
    let project = image.project("run: [\"dd if=/dev/zero of=/large bs=1048576 count=200\"]\n");
    let error = build_by_docker(&project, &Events::silent()).expect_err("a failure");
    let folder = literally(daemon.folder.path().to_str().unwrap());
    let project = literally(project.path().to_str().unwrap());
    check("no_space_step", &error, &[(&folder, "[folder]"), (&project, "[project]"), MEBIBYTES, USAGE, RECORDS]);
    assert_eq!(daemon.docker.left(), "");
}

#[test]
fn a_file_that_fills_the_daemons_disk() {
    let Some(daemon) = DaemonOnASmallDisk::start() else { return };
    let image = daemon.docker.import("full");
    let project = image.project("files: [{source: large, target: /large}]\n");
    // Without holes for the way.
    fs_err::write(project.path().join("large"), vec![1; 150 << 20]).unwrap();
    let error = build_by_docker(&project, &Events::silent()).expect_err("a failure");
    let report = told(&error);
    // At which of its copies the daemon finds no space differs.
    for words in
        ["smolvm::docker::no_space", "no space left in /", "MiB free)", "no space left on device", "builder prune"]
    {
        assert!(report.contains(words), "`{words}` is not in:\n{report}");
    }
    assert_eq!(error.class(), FailureClass::Host);
    assert_eq!(daemon.docker.left(), "");
}

#[test]
fn a_full_store_is_told_as_the_stores() {
    if !has("root, and an apt mirror of Debian", is_root() && debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import("store");
    let project = image.project("run: [\"dd if=/dev/zero of=/large bs=1048576 count=700\"]\n");
    let disk = SmallDisk::new();
    // Room for the kernel, which is unpacked at the same time and is to be ready first.
    disk.resize("600m");
    let mut options = options(&project);
    options.image_dir = disk.path().to_owned();
    let error = runtime().block_on(build(&options, &Events::silent())).expect_err("a failure");
    let folder = literally(disk.path().to_str().unwrap());
    check("store_full", &error, &[(&folder, "[store]"), ("scratch/[^`]+`", "scratch/[file]`")]);
    assert_eq!(docker.left(), "");
}

/// A daemon whose folder is on a disk of 100 MB.
struct DaemonOnASmallDisk {
    child: Child,
    docker: Docker,
    folder: tempfile::TempDir,
}

impl DaemonOnASmallDisk {
    fn start() -> Option<Self> {
        let here = is_root() && debian_host() && programs_are_here(&["dockerd", "mkfs.ext4"]);
        if !has("root, dockerd, mkfs.ext4 and an apt mirror of Debian", here) {
            return None;
        }
        Docker::of_tests()?;
        // Not in the target folder: a socket's path has at most 107 bytes.
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs_err::File::create(place("disk")).unwrap().set_len(100 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(place("disk")));
        fs_err::create_dir(place("data")).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(place("disk")).arg(place("data")));
        let address = format!("unix://{}", place("docker.sock").display());
        let log = std::fs::File::create(place("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.arg("--host").arg(&address);
        for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(option).arg(place(name));
        }
        command.args(["--bridge=none", "--iptables=false"]).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let daemon = Self { child, docker: Docker { address }, folder };
        daemon.wait_until_it_answers();
        Some(daemon)
    }

    fn wait_until_it_answers(&self) {
        let began = Instant::now();
        while !Command::new("docker").args(["--host", &self.docker.address, "info"]).output().unwrap().status.success()
        {
            let log = || fs_err::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(began.elapsed() < PATIENCE, "the daemon does not come up:\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for DaemonOnASmallDisk {
    fn drop(&mut self) {
        // It ends its containerd on SIGTERM; a kill would leave that behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        unmount(&self.folder.path().join("data"));
    }
}

fn unmount(folder: &Path) {
    let _ = Command::new("umount").arg(folder).status();
}

fn run(command: &mut Command) {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

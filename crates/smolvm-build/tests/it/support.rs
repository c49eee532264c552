//! One project folder with a store of its own, and a download cache that all tests share.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use smolvm_build::{BuildError, BuildOptions, BuiltImage, Event, Events, Host, build};
use smolvm_manifest::Arch;
use smolvm_vm::{MachineOptions, VmImage};

/// A folder with a Smolfile.
pub(crate) struct Project {
    pub(crate) folder: tempfile::TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Project {
    pub(crate) fn new(smolfile: &str) -> Self {
        Self::in_folder(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), smolfile)
    }

    pub(crate) fn in_folder(folder: tempfile::TempDir, smolfile: &str) -> Self {
        fs_err::write(folder.path().join("Smolfile.yaml"), smolfile).unwrap();
        Self { folder, variables: Vec::new() }
    }

    /// With this environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self) -> BuildOptions {
        let home = (OsString::from("HOME"), self.path().join("home").into_os_string());
        let host = Host::new(self.variables.iter().cloned().chain([home]), SystemTime::now());
        let mut options = BuildOptions::new(self.path().join("Smolfile.yaml"), host);
        options.cache_dir = download_cache();
        options
    }

    pub(crate) fn build(&self) -> Result<BuiltImage, BuildError> {
        self.build_with(&Events::silent())
    }

    pub(crate) fn build_with(&self, events: &Events) -> Result<BuiltImage, BuildError> {
        runtime().block_on(build(&self.options(), events))
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// Shared by all tests, so that the mirror is asked once for a package.
pub(crate) fn download_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("download-cache")
}

/// Every event as text: what a log could hold.
pub(crate) fn recording() -> (Events, std::sync::Arc<std::sync::Mutex<String>>) {
    let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let sink = std::sync::Arc::clone(&log);
    let record = move |event: Event| writeln!(sink.lock().unwrap(), "{event:?}").unwrap();
    (Events::new(record), log)
}

/// Whether this machine has what a test needs. In CI it must have it.
pub(crate) fn has(what: &str, here: bool) -> bool {
    if !here {
        assert!(std::env::var_os("CI").is_none(), "CI lacks {what}");
        skipped(&format!("this machine lacks {what}"));
    }
    here
}

/// Says that a test is not run, and why.
#[expect(clippy::print_stderr, reason = "the log of a run must say what was not run")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

pub(crate) fn programs_are_here(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = |program: &&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    programs.iter().all(is_here)
}

/// The daemon that `cargo xtask test` starts.
pub(crate) fn docker_address() -> Option<String> {
    let address = std::env::var("SMOLVM_TEST_DOCKER").ok();
    has("a Docker daemon (`cargo xtask test`, as root, starts one: SMOLVM_TEST_DOCKER)", address.is_some());
    address
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn debian_host() -> bool {
    fs_err::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("\nID=debian"))
}

/// How to boot a built image, with a console log in `scratch`.
pub(crate) fn machine(image: &BuiltImage, scratch: &Path) -> MachineOptions {
    let image = VmImage {
        kernel: image.kernel.clone(),
        initrd: image.initrd.clone(),
        rootfs: image.rootfs.clone(),
        arch: Arch::Amd64,
        boot_args: image.boot_args.clone(),
        ssh: true,
    };
    let mut options = MachineOptions::new(image, scratch, scratch.join("console.log"));
    options.hardware.memory_mib = 512;
    options.boot_time = Duration::from_mins(3);
    options
}

/// A loop mount of an ext4 image, read-only, for as long as it lives.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn new(image: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount").args(["-o", "loop,ro"]).arg(image).arg(folder.path()).output();
        let mount = mount.unwrap();
        assert!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

//! The image that these tests share.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Ran, ran, smolvm};

/// A Smolfile that uses what a Debian image is made of: a file capability (ping), python's byte code, users, files, a run step.
pub(crate) const SMOLFILE: &str = r#"
base: debian:bookworm
packages: [curl, ca-certificates, python3-minimal, iputils-ping, less]
env: {GREETING: "hello from smolvm"}
users:
  - {name: dev, uid: 1000, shell: /bin/bash}
files:
  - {target: /etc/motd, content: "built by a test\n"}
  - {target: /home/dev/hello.py, content: "print('hello')\n", owner: "dev:dev"}
run:
  - {command: "python3 -m py_compile hello.py && rm -r __pycache__ && id -un > built-by", workdir: /home/dev, user: dev, network: false}
"#;

/// A built image in a store that other tests use too.
pub(crate) struct Shared {
    /// The folder that holds `project/`, and is the home.
    pub(crate) home: PathBuf,
    /// The data of the build's envelope.
    pub(crate) image: Value,
}

impl Shared {
    pub(crate) fn project(&self) -> PathBuf {
        self.home.join("project")
    }

    /// The binary in the shared project, with the shared home.
    pub(crate) fn smolvm(&self) -> Command {
        let mut command = smolvm(&self.project());
        command.env("HOME", &self.home);
        command
    }

    /// Runs the binary in the shared project.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        ran(self.smolvm().args(words))
    }
}

/// The shared image, built by whoever asks first; `None`, said aloud, where this machine cannot.
pub(crate) fn shared() -> Option<&'static Shared> {
    static SHARED: OnceLock<Option<Shared>> = OnceLock::new();
    SHARED.get_or_init(make).as_ref()
}

fn make() -> Option<Shared> {
    if !needs("an apt mirror of Debian", host_has_debian_sources()) {
        return None;
    }
    let home = home_of_this_run();
    let project = home.join("project");
    std::fs::create_dir_all(&project).expect("the project's folder");
    let smolfile = project.join("Smolfile.yaml");
    if !smolfile.exists() {
        // Another test of this run may be at it too: whoever is last writes the same bytes.
        let mine = project.join(format!("Smolfile.{}", std::process::id()));
        std::fs::write(&mine, SMOLFILE).and_then(|()| std::fs::rename(&mine, &smolfile)).expect("the Smolfile");
    }
    let mut shared = Shared { home, image: Value::Null };
    shared.image = shared.run(&["build", "--json"]).expect_code(0).data();
    Some(shared)
}

/// Whether something is here. In CI it has to be.
#[track_caller]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn needs(what: &str, here: bool) -> bool {
    if !here {
        assert!(std::env::var_os("CI").is_none(), "CI lacks {what}");
        eprintln!("skipped: this machine lacks {what}");
    }
    here
}

/// Whether a program is in PATH.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where the tests of this run keep what they downloaded: the shared image's build too.
pub(crate) fn download_cache() -> PathBuf {
    home_of_this_run().join(".cache/smolvm")
}

pub(crate) fn host_has_debian_sources() -> bool {
    std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("\nID=debian"))
}

/// A folder below `target/tmp` that the processes of one test run share, and no other run: what an older binary built proves nothing.
pub(crate) fn home_of_this_run() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let hours = Duration::from_hours(3);
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > hours));
        if old && entry.file_name().to_string_lossy().starts_with("e2e-") {
            // Another test of this run may be at it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    all.join(format!("e2e-{run}"))
}

//! What is left in the daemon and in the store after builds that ended, failed, were dropped or were killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use smolvm_build::{Event, Events, Host, build};

use super::daemon::{Docker, Image};
use super::{build_by_docker, dropped_when, options};
use crate::archive::names;
use crate::support::{Project, debian_host, download_cache, has, runtime};

const BUILDS: usize = 20;
const FAILURES: usize = 5;
/// What the killed builds print last: at the first step's beginning, in the middle, and with all that is left to be exported.
const KILLS: [&str; 3] = ["at the beginning", "in the middle", "at the end"];

/// Steps that say these things one after the other. The daemon must not know them from another time.
fn steps() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let new = format!("{} {}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    format!(
        "run:\n  - echo {new}; echo at the beginning; sleep 1; echo in the middle; sleep 1\n  \
         - dd if=/dev/zero of=/large bs=1048576 count=40; echo at the end\n"
    )
}

/// Names the folder of a project, and the daemon, for [`a_build_in_a_process_of_its_own`].
const CHILD: &str = "SMOLVM_TEST_CHILD";

#[test]
fn nothing_stays_after_builds_failures_and_kills() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import("leftovers");
    for buildkit in ["1", "0"] {
        let project = image.project("").with("DOCKER_BUILDKIT", buildkit);
        for said_last in KILLS {
            write(&project, &image, &steps());
            kill(&project, &docker, buildkit, said_last);
        }
        for number in 0..BUILDS / 2 {
            write(&project, &image, &format!("run: [\"echo {number}\"]\n"));
            build_by_docker(&project, &Events::silent()).unwrap();
            if number == 0 {
                assert_clean(&docker, &project, "the first build after the kills");
            }
        }
        for number in 0..FAILURES {
            write(&project, &image, &format!("run: [\"echo {number} > /x\", \"exit {}\"]\n", number + 1));
            build_by_docker(&project, &Events::silent()).expect_err("a failure");
        }
        assert_clean(&docker, &project, "builds and failures");
    }
}

#[test]
fn a_future_that_is_dropped_takes_everything_along() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import("dropped");
    for (buildkit, said_last) in [("1", KILLS[0]), ("1", KILLS[2]), ("0", KILLS[0]), ("0", KILLS[2])] {
        let project = image.project(&steps()).with("DOCKER_BUILDKIT", buildkit);
        let happened = Arc::new(AtomicBool::new(false));
        let sink = Arc::clone(&happened);
        let events = Events::new(move |event| {
            if matches!(event, Event::Output { line, .. } if line == said_last) {
                sink.store(true, Ordering::Relaxed);
            }
        });
        let options = options(&project);
        let dropping = dropped_when(build(&options, &events), || happened.load(Ordering::Relaxed));
        assert!(runtime().block_on(dropping), "it ended before it could be stopped");
        settle(&docker);
        assert_clean(&docker, &project, &format!("{said_last}, DOCKER_BUILDKIT={buildkit}"));
    }
}

/// What the others kill.
#[test]
fn a_build_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let variables =
        ["HOME", "DOCKER_HOST", "DOCKER_BUILDKIT"].map(|name| (name.into(), std::env::var_os(name).unwrap()));
    let mut options = smolvm_build::BuildOptions::new(
        folder.join("Smolfile.yaml"),
        Host::new(variables, std::time::SystemTime::now()),
    );
    options.engine = smolvm_build::EngineChoice::Docker;
    options.cache_dir = download_cache();
    let events = Events::new(|event| {
        if let Event::Output { line, .. } = event {
            // Past the test's own way of printing.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    });
    runtime().block_on(build(&options, &events)).unwrap();
}

/// Builds in a process of its own, and kills that when it has printed this.
fn kill(project: &Project, docker: &Docker, buildkit: &str, said_last: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["docker::leftovers::a_build_in_a_process_of_its_own", "--exact", "--nocapture"]);
    command.env(CHILD, project.path()).env("HOME", project.path().join("home"));
    command.env("DOCKER_HOST", &docker.address).env("DOCKER_BUILDKIT", buildkit);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, said_last);
    // SIGKILL.
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended before it was killed");
}

fn wait_for(child: &mut Child, words: &str) {
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap) {
        if line == words {
            return;
        }
        said.push_str(&line);
        said.push('\n');
    }
    panic!("the build ended without saying `{words}`:\n{said}");
}

/// A daemon that is told to stop a build may take a moment.
fn settle(docker: &Docker) {
    for _ in 0..50 {
        if docker.left().is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn write(project: &Project, image: &Image<'_>, more: &str) {
    fs_err::write(project.path().join("Smolfile.yaml"), format!("{}{more}", super::smolfile(&image.name))).unwrap();
}

fn assert_clean(docker: &Docker, project: &Project, after: &str) {
    assert_eq!(docker.left(), "", "in the daemon, after {after}");
    let store = project.path().join("home/.smolvm/images");
    for folder in ["scratch", "staging"] {
        assert_eq!(names(&store.join(folder)), [] as [String; 0], "in the store, after {after}");
    }
    let left = big_files(&store, &["images", "layers", "logs"]);
    assert!(left.is_empty(), "{left:?}");
}

/// Files that are more than an index entry or a lock, in folders of the store where there should be none.
fn big_files(store: &Path, but: &[&str]) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(store).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let files =
        files.filter(|entry| entry.metadata().is_ok_and(|file| file.len() > 4096)).map(walkdir::DirEntry::into_path);
    files.filter(|path| !but.iter().any(|folder| path.starts_with(store.join(folder)))).collect()
}

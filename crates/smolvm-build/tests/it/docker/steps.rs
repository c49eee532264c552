//! Steps that fail, and what a daemon cannot do.

use std::path::PathBuf;

use super::daemon::Docker;
use super::{build_by_docker, check, literally, told};
use crate::support::{Project, debian_host, has, recording};

/// More lines than a report shows.
const FAILING: &str =
    "run:\n  - \"true\"\n  - {command: seq 1000 1199; sleep 1; echo the end is near >&2; sleep 1; exit 7}\n";

fn log_of(project: &Project) -> PathBuf {
    project.path().join("home/.smolvm/images/logs/tested.log")
}

/// A step fails: it is named with its last lines, and the log holds all of them.
fn check_failing(snapshot: &str, buildkit: &str) {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import(snapshot);
    let project = image.project(FAILING).with("DOCKER_BUILDKIT", buildkit);
    let (events, said) = recording();
    let error = build_by_docker(&project, &events).expect_err("a failure");
    let folder = literally(project.path().to_str().unwrap());
    check(snapshot, &error, &[(&folder, "[project]"), (r"(?s)1161\n.*1198\n", "1161\n[the lines between]\n1198\n")]);
    assert!(told(&error).contains("\n1180\n"));
    assert!(said.lock().unwrap().contains("line: \"1000\""), "lines are told as they come");
    let log = fs_err::read_to_string(log_of(&project)).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    for number in 1000..1200 {
        assert!(lines.contains(&number.to_string().as_str()), "{number} is not in the log:\n{log}");
    }
    assert!(lines.contains(&"the end is near"), "{log}");
    assert_eq!(docker.left(), "");
}

#[test]
fn a_step_that_fails() {
    check_failing("step_failed", "1");
}

#[test]
fn a_step_that_fails_under_the_classic_builder() {
    check_failing("step_failed_classic", "0");
}

#[test]
fn the_log_of_a_build_that_went_well_does_not_stay() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import("well");
    for buildkit in ["1", "0"] {
        let project = image.project("run: [\"echo done\"]\n").with("DOCKER_BUILDKIT", buildkit);
        build_by_docker(&project, &smolvm_build::Events::silent()).unwrap();
        assert!(!log_of(&project).exists());
        assert_eq!(docker.left(), "");
    }
}

/// The build is refused, before anything was sent.
fn check_refused(snapshot: &str, more: &str) {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import(snapshot);
    let project = image.project(more).with("DOCKER_BUILDKIT", "0").with("TOKEN", "canary-5d1e");
    let (events, said) = recording();
    let error = build_by_docker(&project, &events).expect_err("a failure");
    check(snapshot, &error, &[]);
    assert!(!said.lock().unwrap().contains("Docker, done"), "it began to build");
    assert!(!log_of(&project).exists());
    assert_eq!(docker.left(), "");
}

#[test]
fn the_classic_builder_has_no_secrets() {
    let step = "run:\n  - {command: \"true\", secrets: [TOKEN]}\nsecrets: {TOKEN: {from_env: TOKEN}}\n";
    check_refused("classic_secrets", step);
}

#[test]
fn the_classic_builder_cannot_take_the_network_away() {
    check_refused("classic_network", "run:\n  - {command: \"true\", network: false}\n");
}

//! Daemons that are not there, or are not what they should be.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use smolvm_build::{BuildError, Events, build};

use super::server::serve;
use super::{check, failure_without_mirrors, literally, options, smolfile, without_mirrors};
use crate::support::{Project, runtime};

/// What a build says with these variables alone.
fn failure(variables: &[(&str, &str)]) -> BuildError {
    let project = Project::new(&smolfile("made-up:1"));
    failure_without_mirrors(variables.iter().fold(project, |project, (name, value)| project.with(name, value)))
}

#[test]
fn no_docker_at_all() {
    for place in ["/var/run/docker.sock", "/run/podman/podman.sock"] {
        if Path::new(place).exists() {
            // Not even in CI can it be asked that a machine has no Docker.
            return eprintln!("skipped: there is a socket at {place}");
        }
    }
    let runtime_folder = tempfile::tempdir().unwrap();
    let empty = runtime_folder.path().to_str().unwrap();
    let project = Project::new(&smolfile("made-up:1")).with("PATH", empty).with("XDG_RUNTIME_DIR", empty);
    let home = literally(project.path().to_str().unwrap());
    let error = failure_without_mirrors(project);
    check("not_installed", &error, &[(&home, "[project]"), (&literally(empty), "[runtime]")]);
}

#[test]
fn a_socket_that_is_named_and_missing() {
    let error = failure(&[("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
    check("socket_missing", &error, &[]);
}

#[test]
fn a_socket_that_nobody_listens_on_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "the file stays");
    let error = failure(&[("DOCKER_HOST", &format!("unix://{}", socket.display()))]);
    check("socket_dead", &error, &[(&literally(folder.path().to_str().unwrap()), "[folder]")]);
}

#[test]
fn a_port_where_nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = failure(&[("DOCKER_HOST", &format!("tcp://{address}"))]);
    check("port_closed", &error, &[(r"127\.0\.0\.1:\d+", "[address]")]);
}

#[test]
fn a_daemon_that_accepts_and_never_answers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    // The kernel accepts for it.
    let _listener = UnixListener::bind(&socket).unwrap();
    let project = Project::new(&smolfile("made-up:1")).with("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let (project, _mirror) = without_mirrors(project);
    let mut options = options(&project);
    options.timeouts.answer = Duration::from_secs(1);
    let began = Instant::now();
    let error = runtime().block_on(build(&options, &Events::silent())).expect_err("a failure");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    check("no_answer", &error, &[(&literally(folder.path().to_str().unwrap()), "[folder]")]);
}

#[test]
fn a_daemon_of_long_ago() {
    let old =
        serve(|_| ("200 OK", r#"{"ApiVersion":"1.30","MinAPIVersion":"1.12","Version":"17.06.2-ce","Os":"linux"}"#));
    let error = failure(&[("DOCKER_HOST", &format!("tcp://{old}"))]);
    check("too_old", &error, &[(r"127\.0\.0\.1:\d+", "[address]")]);
}

#[test]
fn something_that_is_no_daemon() {
    let other = serve(|_| ("404 Not Found", "<html>nginx</html>"));
    let error = failure(&[("DOCKER_HOST", &format!("tcp://{other}"))]);
    check("no_daemon", &error, &[(r"127\.0\.0\.1:\d+", "[address]")]);
}

#[test]
fn an_address_that_only_the_docker_command_understands() {
    check("address", &failure(&[("DOCKER_HOST", "ssh://me@build.example.org")]), &[]);
}

#[test]
fn a_context_that_is_gone() {
    check("context", &failure(&[("DOCKER_CONTEXT", "desk")]), &[]);
}

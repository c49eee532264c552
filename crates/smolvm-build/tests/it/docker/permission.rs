//! Sockets of somebody else's, seen by a plain user.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use smolvm_build::{BuildError, Events, build};

use super::{check, literally, options, smolfile, without_mirrors};
use crate::support::{Project, has, is_root};

/// Nobody's, on any machine: no account is needed to be a plain user.
const USER: u32 = 54_321;

#[test]
fn a_socket_that_may_not_be_used() {
    if !has("root, to make a socket that others may not use", is_root()) {
        return;
    }
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs_err::set_permissions(&socket, PermissionsExt::from_mode(0o660)).unwrap();
    let error = failure_as_a_plain_user(&socket);
    check("permission", &error, &[(&literally(folder.path().to_str().unwrap()), "[folder]")]);
}

#[test]
fn a_socket_in_a_folder_that_may_not_be_entered() {
    if !has("root, to make a folder that others may not enter", is_root()) {
        return;
    }
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs_err::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
    fs_err::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let error = failure_as_a_plain_user(&socket);
    check("permission_folder", &error, &[(&literally(folder.path().to_str().unwrap()), "[folder]")]);
}

/// Where any user may look, unlike a checkout in somebody's home.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir_in("/var/tmp").unwrap()
}

fn failure_as_a_plain_user(socket: &Path) -> BuildError {
    let project = Project::in_folder(folder(), &smolfile("made-up:1"));
    let (project, _mirror) = without_mirrors(project.with("DOCKER_HOST", &format!("unix://{}", socket.display())));
    for path in [project.path(), &project.path().join("Smolfile.yaml")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let mut options = options(&project);
    options.cache_dir = project.path().join("cache");
    // The kernel knows users by thread, and those that this one starts are of the same.
    let building = std::thread::spawn(move || {
        let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(group, group, group).unwrap();
        set_thread_res_uid(user, user, user).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(build(&options, &Events::silent())).expect_err("a failure")
    });
    building.join().unwrap()
}

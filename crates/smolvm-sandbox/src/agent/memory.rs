//! Memory in the place of a folder.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, XattrFlags, fsetxattr, mkdirat, open, openat, unlinkat};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags, mount_change, move_mount, open_tree};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::cell::{CLONE, attach, new_mount, touch};
use crate::memory::{Namespaces, ON_DISK};
use crate::wire::{At, Explain, Failure};

/// Mounts memory on the working folder. Returns the new folder, and the namespaces (user, mount) in which it is there.
pub(super) fn mount(bytes: u64) -> Result<[OwnedFd; 3], Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).setup("separate the mounts")?;
    let on_disk = open_tree(CWD, ON_DISK, CLONE).explain(At::Folder, format!("could not mount {ON_DISK} of it"))?;
    let size = bytes.to_string();
    let memory = new_mount("tmpfs", &[("mode", "0700"), ("size", &size)], MountAttrFlags::empty());
    let memory = memory.setup("mount a tmpfs")?;
    move_mount(&memory, "", CWD, ".", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .explain(At::Folder, "could not mount a tmpfs on it")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(&memory, ".", flags, Mode::empty()).setup("open a tmpfs")?;
    check_attributes(&folder).setup("keep extended attributes in a tmpfs")?;
    for (at, _) in ON_DISK.match_indices('/').chain([(ON_DISK.len(), "")]) {
        mkdirat(&folder, &ON_DISK[..at], Mode::from_raw_mode(0o755)).setup("make a folder in a tmpfs")?;
    }
    attach(&on_disk, &folder, ON_DISK).setup(format!("mount {ON_DISK}"))?;
    let namespace = |kind| {
        let path = format!("/proc/self/ns/{kind}");
        open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).setup(format!("open {path}"))
    };
    Ok([folder, namespace("user")?, namespace("mnt")?])
}

/// Enters the namespaces in which a folder of memory is there.
pub(super) fn join(namespaces: &Namespaces) -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    move_into_link_name_space(namespaces.user.as_fd(), Some(LinkNameSpaceType::User))
        .setup("enter a user namespace")?;
    move_into_link_name_space(namespaces.mount.as_fd(), Some(LinkNameSpaceType::Mount)).setup("enter a mount namespace")
}

/// A step may set attributes of its own, which a disk would have kept.
fn check_attributes(folder: &OwnedFd) -> rustix::io::Result<()> {
    const PROBE: &str = ".attribute-probe";
    let probe = touch(folder, PROBE, 0o600)?;
    fsetxattr(&probe, "user.probe", b"1", XattrFlags::empty())?;
    unlinkat(folder, PROBE, rustix::fs::AtFlags::empty())
}

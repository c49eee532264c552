//! What a command sees: the image as its root, and over it a few mounts of its own.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, readlinkat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::thread::UnshareFlags;

use super::cell::{self, CLONE, DEVICES, EMPTY, FILES, IMAGE, SCRATCH, attach, new_mount, touch};
use super::paths;
use crate::sys;
use crate::wire::{Explain, Failure, RunRequest};

/// Links to links before a mount point is given up.
const LONGEST_LINK_CHAIN: usize = 8;

/// Builds the view in a mount namespace of its own and enters it. `made` hears of mount points that had to be made in
/// the image and must go again, outermost first.
pub(super) fn enter_image(request: &RunRequest, made: &mut dyn FnMut(String)) -> Result<(), Failure> {
    sys::unshare(UnshareFlags::NEWNS).start("make a mount namespace")?;
    let root = open_tree(CWD, format!("{SCRATCH}/root"), CLONE).start("mount the image")?;
    move_mount(&root, "", CWD, IMAGE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).start("mount the image")?;

    let proc = open_tree(CWD, "/proc", CLONE | OpenTreeFlags::AT_RECURSIVE).start("mount /proc")?;
    mount_folder(&root, "proc", &proc)?;
    // Empty: it would tell about the machine, and nothing in a build needs it.
    let sys = open_tree(CWD, EMPTY, CLONE).start("mount /sys")?;
    mount_folder(&root, "sys", &sys)?;
    devices(&root)?;
    mount_folder(&root, "run", &run_folder(request).start("fill /run")?)?;
    mount_files(&root, request, made)?;
    cell::enter(&root).start("make the image the root")
}

/// Mounts onto a folder of the image, which is made (0755, root's) where it is missing, as Debian's own base does.
fn mount_folder(root: &OwnedFd, name: &str, mount: &OwnedFd) -> Result<(), Failure> {
    let target = match paths::folder(root, name) {
        Err(Errno::NOENT) => mkdirat(root, name, Mode::from_raw_mode(0o755)).and_then(|()| paths::folder(root, name)),
        other => other,
    };
    let target = target.start(format!("open the image's /{name} as a folder"))?;
    mount_onto(mount, &target).start(format!("mount /{name}"))
}

fn mount_onto(mount: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

fn devices(root: &OwnedFd) -> Result<(), Failure> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    // 0755, since programs that drop root's rights must get through.
    let dev = new_mount("tmpfs", &[("mode", "0755")], attributes).start("mount /dev")?;
    let fill = || -> rustix::io::Result<()> {
        for folder in ["pts", "shm"] {
            mkdirat(&dev, folder, Mode::from_raw_mode(0o755))?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlinkat(target, &dev, name)?;
        }
        DEVICES.iter().try_for_each(|name| touch(&dev, name, 0o666).map(drop))
    };
    fill().start("fill /dev")?;
    mount_folder(root, "dev", &dev)?;
    for name in DEVICES {
        open_tree(CWD, format!("/dev/{name}"), CLONE)
            .and_then(|device| attach(&device, &dev, name))
            .start(format!("mount /dev/{name}"))?;
    }
    // Group 5 is `tty` in every distribution.
    let pts = [("mode", "0620"), ("ptmxmode", "0666"), ("gid", "5")];
    new_mount("devpts", &pts, attributes).and_then(|pts| attach(&pts, &dev, "pts")).start("mount /dev/pts")?;
    let attributes = attributes | MountAttrFlags::MOUNT_ATTR_NODEV;
    new_mount("tmpfs", &[("mode", "1777")], attributes)
        .and_then(|shm| attach(&shm, &dev, "shm"))
        .start("mount /dev/shm")
}

/// `/run`, with the secrets in it: memory that goes with the command.
fn run_folder(request: &RunRequest) -> rustix::io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let run = new_mount("tmpfs", &[("mode", "0755")], attributes)?;
    // /var/lock leads here.
    mkdirat(&run, "lock", Mode::from_raw_mode(0o1777))?;
    rustix::fs::chmodat(&run, "lock", Mode::from_raw_mode(0o1777), AtFlags::empty())?;
    if request.secrets.is_empty() {
        return Ok(run);
    }
    mkdirat(&run, "secrets", Mode::from_raw_mode(0o755))?;
    for (name, content) in &request.secrets {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(Errno::INVAL);
        }
        let file = touch(&run, &format!("secrets/{name}"), 0o400)?;
        write_all(&file, content)?;
        fchown(&file, Some(Uid::from_raw(request.user.uid)), Some(Gid::from_raw(request.user.gid)))?;
    }
    Ok(run)
}

/// Mounts the files that the image must not keep over those that it has, or over mount points made for them.
fn mount_files(root: &OwnedFd, request: &RunRequest, made: &mut dyn FnMut(String)) -> Result<(), Failure> {
    if request.mounted_files.is_empty() {
        return Ok(());
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let files = new_mount("tmpfs", &[("mode", "0755")], attributes).start("mount a tmpfs")?;
    // A single file can only be mounted out of what is mounted somewhere itself.
    move_mount(&files, "", CWD, FILES, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).start("mount a tmpfs")?;
    let image = fstat(root).start("look at the image")?.st_dev;
    for (number, wanted) in request.mounted_files.iter().enumerate() {
        let path = paths::named(&wanted.path)?;
        let what = || format!("mount /{path}");
        let target = mount_point(root, &path, image, made).start(what())?;
        let source = number.to_string();
        let file = touch(&files, &source, 0o444).start(what())?;
        fchmod(&file, Mode::from_raw_mode(0o444)).start(what())?;
        write_all(&file, &wanted.content).start(what())?;
        open_tree(CWD, format!("{FILES}/{source}"), CLONE)
            .and_then(|mount| mount_onto(&mount, &target))
            .start(what())?;
    }
    Ok(())
}

/// What a file can be mounted onto: what is at the path, or an empty file made where it leads.
fn mount_point(root: &OwnedFd, path: &str, image: u64, made: &mut dyn FnMut(String)) -> rustix::io::Result<OwnedFd> {
    let mut path = path.to_owned();
    for _ in 0..LONGEST_LINK_CHAIN {
        match paths::open(root, &path, OFlags::PATH, 0) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let (above_path, name) = paths::split(&path);
        let (above, folders) = paths::make_folder(root, above_path)?;
        let in_image = fstat(&above)?.st_dev == image;
        if in_image {
            folders.into_iter().for_each(&mut *made);
        }
        if let Ok(target) = readlinkat(&above, name, Vec::new()) {
            // A link to nowhere, as /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf is in a build.
            path = paths::link_target(above_path, &target.to_string_lossy());
            continue;
        }
        touch(&above, name, 0o644)?;
        if in_image {
            made(path.clone());
        }
    }
    Err(Errno::LOOP)
}

fn write_all(file: &OwnedFd, content: &[u8]) -> rustix::io::Result<()> {
    let mut rest = content;
    while !rest.is_empty() {
        let count = rustix::io::write(file, rest)?;
        rest = &rest[count..];
    }
    Ok(())
}

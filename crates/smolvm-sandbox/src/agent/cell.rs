//! The agent's own view of the file system: a small `tmpfs` that holds the scratch folder and what commands get
//! mounted, and nothing else of the host.

use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, StatVfsMountFlags, Uid, chownat, fstatvfs, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_bind, mount_change, mount_remount,
    move_mount, open_tree, unmount,
};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::Network;
use crate::wire::{At, Explain, Failure};

/// Where the agent sees the scratch folder.
pub(super) const SCRATCH: &str = "/scratch";
/// Where a command's view of the image is put together.
pub(super) const IMAGE: &str = "/image";
/// Where a command's mounted files wait.
pub(super) const FILES: &str = "/files";
/// A folder with nothing in it, not writable.
pub(super) const EMPTY: &str = "/empty";
/// The devices that commands get.
pub(super) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of `/proc` that act on the whole machine: not writable. Only their owner's number guards them, and as root
/// outside root inside has that number. The list is the one that container engines use.
const READ_ONLY: [&str; 6] =
    ["/proc/bus", "/proc/dynamic_debug", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Parts of `/proc` that tell about the machine what no build needs; hidden. Its boot arguments, kernel options and disks would
/// find their way into what scripts write: `kernel-install` falls back to this command line. Processors, memory and the kernel's
/// version stay, since compilers and run-time systems ask for them; `docs/reproducibility.md` says so.
const HIDDEN: [&str; 29] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/bootconfig",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/diskstats",
    "/proc/driver",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/mdstat",
    "/proc/modules",
    "/proc/mtrr",
    "/proc/pagetypeinfo",
    "/proc/partitions",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/swaps",
    "/proc/timer_list",
    "/proc/vmallocinfo",
];

/// Sets host name, network and file system up. `scratch` is relative to the working folder.
pub(super) fn build(scratch: Option<&str>, network: Network, hostname: &str) -> Result<(), Failure> {
    rustix::system::sethostname(hostname.as_bytes()).setup("set the host name")?;
    let _ = rustix::system::setdomainname(b"(none)");
    if network == Network::None {
        raise_loopback().setup("bring up the loopback device")?;
    }
    raise_file_limit();
    // Mounts must not travel between here and the host.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).setup("separate the mounts")?;

    let cell = new_mount("tmpfs", &[("mode", "0755")], MountAttrFlags::empty()).setup("mount a tmpfs")?;
    for folder in ["scratch", "image", "files", "empty", "proc", "dev"] {
        mkdirat(&cell, folder, Mode::from_raw_mode(0o755)).setup("make a folder in a tmpfs")?;
    }
    let scratch = scratch
        .map(|path| {
            open_tree(CWD, path, CLONE | OpenTreeFlags::AT_RECURSIVE)
                .explain(At::Folder, "could not mount it inside the sandbox")
        })
        .transpose()?;
    // While the host's /proc is still in sight: the kernel asks for that.
    let proc = new_mount("proc", &[], MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)
        .setup("mount /proc")?;
    let devices = DEVICES.map(|name| (name, open_tree(CWD, format!("/dev/{name}"), CLONE)));

    // Any folder that is always there will do as the place to hang the new root on.
    move_mount(&cell, "", CWD, "/dev", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).setup("mount the sandbox's root")?;
    if let Some(scratch) = scratch {
        attach(&scratch, &cell, "scratch").setup("mount the scratch folder")?;
    }
    attach(&proc, &cell, "proc").setup("mount /proc")?;
    for (name, device) in devices {
        let device = device.setup(format!("mount /dev/{name}"))?;
        let path = format!("dev/{name}");
        touch(&cell, &path, 0o666).setup(format!("make /{path}"))?;
        attach(&device, &cell, &path).setup(format!("mount /{path}"))?;
    }
    enter(&cell).setup("make the sandbox's root the root")?;
    guard_proc()
}

/// Makes a mounted folder the root, and drops the root before it.
pub(super) fn enter(root: &OwnedFd) -> rustix::io::Result<()> {
    rustix::process::fchdir(root)?;
    // The old root is then mounted over the new one, at the same place, and the topmost is what is unmounted.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

pub(super) const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// A new file system, mounted nowhere yet.
pub(super) fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Mounts what is mounted nowhere yet onto a path below a folder. Follows links: only for folders that we made.
pub(super) fn attach(mount: &OwnedFd, folder: &OwnedFd, path: &str) -> rustix::io::Result<()> {
    move_mount(mount, "", folder, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// An empty file.
pub(super) fn touch(folder: &OwnedFd, path: &str, mode: u32) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(folder, path, flags, Mode::from_raw_mode(mode))
}

/// Hides and write-protects parts of the agent's `/proc`, of which every command's is a copy. Commands cannot undo it:
/// they lack `CAP_SYS_ADMIN`, and in a user namespace of their own these mounts are locked.
fn guard_proc() -> Result<(), Failure> {
    let read_only = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let bind = |source: &str, target: &str, write_protect: bool| {
        match mount_bind(source, target) {
            Err(Errno::NOENT) => Ok(()), // This kernel has no such thing.
            Ok(()) if write_protect => mount_remount(target, read_only, c""),
            other => other,
        }
        .setup(format!("guard {target}"))
    };
    bind(EMPTY, EMPTY, true)?;
    for path in READ_ONLY {
        bind(path, path, true)?;
    }
    for path in HIDDEN {
        let is_folder = std::fs::metadata(path).is_ok_and(|found| found.is_dir());
        bind(if is_folder { EMPTY } else { "/dev/null" }, path, is_folder)?;
    }
    Ok(())
}

/// Looks for what would make a build fail half-way for reasons that nobody would guess.
pub(super) fn check_folder(scratch: &OwnedFd) -> Result<(), Failure> {
    let folder =
        |what: &str, errno: Errno| Failure { at: At::Folder, what: what.to_owned(), errno: errno.raw_os_error() };
    let mount = fstatvfs(scratch).explain(At::Folder, "could not look at its file system")?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(folder("it is mounted read-only", Errno::ROFS));
    }
    // `noexec` is not among rustix's flags.
    if mount.f_flag.bits() & libc::ST_NOEXEC != 0 {
        return Err(folder("it is mounted with `noexec`, so that no script could run", Errno::ACCESS));
    }
    let probe = ".owner-probe";
    let _ = unlinkat(scratch, probe, AtFlags::empty());
    touch(scratch, probe, 0o600).explain(At::Folder, "could not create a file in it")?;
    let one = (Some(Uid::from_raw(1)), Some(Gid::from_raw(1)));
    let chown = chownat(scratch, probe, one.0, one.1, AtFlags::SYMLINK_NOFOLLOW);
    let _ = unlinkat(scratch, probe, AtFlags::empty());
    chown.explain(At::Folder, "could not give a file in it to another user, which network file systems refuse")
}

/// One netlink message: "link 1, which is the loopback device, is up".
fn raise_loopback() -> rustix::io::Result<()> {
    // No protocol: number 0 is NETLINK_ROUTE.
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes()); // nlmsghdr: length,
    message.extend(libc::RTM_NEWLINK.to_ne_bytes()); // type,
    message.extend(5_u16.to_ne_bytes()); // flags NLM_F_REQUEST | NLM_F_ACK,
    message.extend([0; 8]); // sequence and port;
    message.extend([0; 4]); // ifinfomsg: family, padding, device type,
    message.extend(1_i32.to_ne_bytes()); // index,
    message.extend((libc::IFF_UP as u32).to_ne_bytes()); // flags,
    message.extend((libc::IFF_UP as u32).to_ne_bytes()); // and which of them to change.
    rustix::net::send(&socket, &message, rustix::net::SendFlags::empty())?;
    let mut answer = [0; 64];
    let (length, _) = rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::empty())?;
    // nlmsgerr: the negated error number follows the header.
    let number = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes);
    if number == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-number)) }
}

/// Walks hold one descriptor per level of folders.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

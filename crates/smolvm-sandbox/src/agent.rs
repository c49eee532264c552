//! The process inside: PID 1 of the namespaces, which does what the session asks.
//!
//! Everything in this module runs in a forked child and keeps to the invariant of `sys.rs`: no locks, no
//! environment, no `tracing`, no standard streams.

mod cell;
mod command;
mod copy;
mod harvest;
mod memory;
mod mounts;
mod paths;
mod place;
mod quiet;
mod remove;

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::process::{DumpableBehavior, WaitOptions, set_dumpable_behavior, waitpid};
use rustix::thread::{Gid, Uid, UnshareFlags};

use crate::host::Identity;
use crate::memory::Namespaces;
use crate::options::Network;
use crate::sys;
use crate::wire::{At, Channel, Explain, Failure, Reply, Request};

/// What an agent is started for.
#[derive(Debug)]
pub(crate) enum Task {
    /// To serve a session over this scratch folder.
    Serve { scratch: OwnedFd, within: Option<Namespaces>, network: Network, hostname: String, identity: Identity },
    /// To mount so many bytes of memory on this folder.
    Mount { folder: OwnedFd, bytes: u64 },
    /// To find out whether serving would work.
    Probe,
    /// To remove this name from this folder.
    Remove { folder: OwnedFd, name: String },
}

/// The life of an agent, from the moment of the fork. Returns its exit code.
pub(crate) fn live(task: Task, socket: &OwnedFd, cancel: &OwnedFd) -> i32 {
    let Ok(socket) = sys::inherit(std::os::fd::AsFd::as_fd(socket)) else { return 1 };
    let channel = Channel::new(socket);
    match establish(task, &channel, cancel) {
        Ok(code) => code,
        Err(failure) => {
            let _ = channel.send(&Reply::Failed(failure));
            1
        }
    }
}

/// The first process: makes the namespaces, then waits for the second, which is PID 1 in them.
fn establish(task: Task, channel: &Channel, cancel: &OwnedFd) -> Result<i32, Failure> {
    detach(&task, channel, cancel)?;
    if let Task::Serve { scratch, within: Some(namespaces), .. } = &task {
        memory::join(namespaces)?;
        enter(scratch)?;
    }
    sys::unshare(namespaces(&task)).setup("make namespaces")?;
    channel.send(&Reply::Unshared).setup("answer")?;
    match channel.receive::<Request<'_>>() {
        Ok(Some(Request::Mapped)) => {}
        _ => return Ok(1),
    }
    become_root()?;

    match &task {
        Task::Remove { folder, name } => {
            remove::remove(folder, name)?;
            channel.send(&Reply::Done).setup("answer")?;
            return Ok(0);
        }
        Task::Mount { bytes, .. } => {
            let mounted = memory::mount(*bytes)?;
            channel.send(&Reply::Done).setup("answer")?;
            channel.send_descriptors(&mounted).setup("answer")?;
            return Ok(0);
        }
        Task::Serve { .. } | Task::Probe => {}
    }
    let pid = sys::fork(|| match preside(task, channel, cancel) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = channel.send(&Reply::Failed(failure));
            1
        }
    })
    .setup("start PID 1")?;
    // From here on this process only stands for the other: the session waits for it, and so for the end of all inside.
    let _ = sys::close_all_but(&[]);
    while matches!(waitpid(Some(pid), WaitOptions::empty()), Err(rustix::io::Errno::INTR)) {}
    sys::exit(0)
}

/// Lets go of all that the parent had: its terminal and process group (so that Ctrl-C reaches only the parent, which
/// decides), its descriptors (a lock among them would outlive the parent's release of it), its folder.
fn detach(task: &Task, channel: &Channel, cancel: &OwnedFd) -> Result<(), Failure> {
    rustix::process::setsid().setup("start a session of its own")?;
    rustix::process::umask(Mode::empty());
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).setup("open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).setup("open /dev/null")?;
    rustix::stdio::dup2_stdout(&null).setup("open /dev/null")?;
    rustix::stdio::dup2_stderr(&null).setup("open /dev/null")?;
    drop(null);
    let mut keep = vec![0, 1, 2, std::os::fd::AsFd::as_fd(channel).as_raw_fd(), cancel.as_raw_fd()];
    match task {
        Task::Serve { scratch, within, .. } => {
            enter(scratch)?;
            keep.push(scratch.as_raw_fd());
            keep.extend(within.iter().flat_map(|within| [within.user.as_raw_fd(), within.mount.as_raw_fd()]));
        }
        Task::Mount { folder, .. } => enter(folder)?,
        Task::Remove { folder, .. } => keep.push(folder.as_raw_fd()),
        Task::Probe => rustix::process::chdir("/").setup("enter /")?,
    }
    sys::close_all_but(&keep).setup("close the files of the parent")
}

/// The working folder moves into a new mount namespace with its process; a descriptor would not.
fn enter(folder: &OwnedFd) -> Result<(), Failure> {
    rustix::process::fchdir(folder).explain(At::Folder, "could not enter it")
}

fn namespaces(task: &Task) -> UnshareFlags {
    let (user, network) = match task {
        Task::Remove { .. } => return UnshareFlags::NEWUSER,
        Task::Mount { .. } => return UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
        Task::Serve { within, network, .. } => (within.is_none(), *network),
        Task::Probe => (true, Network::None),
    };
    let mut all = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    all.set(UnshareFlags::NEWUSER, user);
    all.set(UnshareFlags::NEWNET, network == Network::None);
    // It hides the host's names of control groups from /proc/self/cgroup; a kernel may lack control groups.
    if rustix::fs::access("/proc/self/ns/cgroup", rustix::fs::Access::EXISTS).is_ok() {
        all |= UnshareFlags::NEWCGROUP;
    }
    all
}

/// Root inside, and no one outside can trace it, nor anyone inside reach the host through its `/proc` entries.
fn become_root() -> Result<(), Failure> {
    rustix::thread::set_thread_groups(&[]).setup("drop supplementary groups")?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).setup("become root inside")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).setup("become root inside")?;
    // After the change of ids, which sets it anew.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).setup("become untraceable")
}

/// The second process: PID 1. Builds its own small view of the file system, then serves until the session goes.
fn preside(task: Task, channel: &Channel, cancel: &OwnedFd) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .setup("tie itself to its parent")?;
    hide_start_strings();
    match task {
        Task::Serve { network, hostname, identity, .. } => {
            cell::build(Some("."), network, &hostname)?;
            let folder = Folder::open(identity)?;
            channel.send(&Reply::Done).setup("answer")?;
            serve(channel, cancel, &folder)
        }
        Task::Probe => {
            cell::build(None, Network::None, "probe")?;
            channel.send(&Reply::Done).setup("answer")
        }
        Task::Remove { .. } | Task::Mount { .. } => Ok(()),
    }
}

/// The scratch folder from inside.
struct Folder {
    scratch: OwnedFd,
    root: OwnedFd,
    identity: Identity,
}

impl Folder {
    fn open(identity: Identity) -> Result<Self, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let scratch = openat(CWD, cell::SCRATCH, flags, Mode::empty()).explain(At::Folder, "could not open it")?;
        let root = openat(&scratch, "root", flags | OFlags::NOFOLLOW, Mode::empty())
            .explain(At::Folder, "could not open root/ in it")?;
        cell::check_folder(&scratch)?;
        Ok(Self { scratch, root, identity })
    }
}

fn serve(channel: &Channel, cancel: &OwnedFd, folder: &Folder) -> Result<(), Failure> {
    let children = sys::child_signal().setup("watch for ended children")?;
    let mut harvester = harvest::Harvester::default();
    while let Ok(Some(request)) = channel.receive::<Request<'_>>() {
        let reply = match request {
            Request::Mapped => Ok(Reply::Done),
            Request::Place(ops) => place::place(folder, &ops).map(|()| Reply::Done),
            Request::Run(request) => command::run(folder, &request, channel, cancel, &children),
            Request::Read(path) => place::read(folder, &path).map(Reply::Content),
            Request::Harvest => harvester.harvest(folder, channel).map(|()| Reply::Done),
        };
        if channel.send(&reply.unwrap_or_else(Reply::Failed)).is_err() {
            break;
        }
    }
    Ok(())
}

/// `/proc/1/cmdline` can be read by anyone inside: it would show how, and on which paths, the build was started.
fn hide_start_strings() {
    let _ = rustix::thread::set_name(c"init");
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // Fields are counted from the one after the name, which may hold spaces: arg_start is field 48 of proc(5), env_end 51.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return };
    let numbers: Vec<usize> = fields.split(' ').skip(45).take(4).filter_map(|field| field.parse().ok()).collect();
    if let [arg_start, arg_end, env_start, env_end] = numbers[..] {
        sys::erase_start_strings(&[(arg_start, arg_end), (env_start, env_end)]);
    }
}

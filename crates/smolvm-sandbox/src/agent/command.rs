//! Running a command: its process, and the watch over it.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, FileType, MemfdFlags, Mode, fchown, memfd_create, statat, unlinkat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, WaitStatus, getrlimit, setrlimit, wait};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use serde::{Deserialize, Serialize};

use super::{Folder, mounts, paths, quiet};
use crate::CommandStatus;
use crate::sys;
use crate::wire::{Channel, Explain, Failure, Reply, RunRequest};

/// What root has in commands: the set that container engines give, without the right to make device nodes, which a
/// user namespace refuses anyway. `SYS_ADMIN` is not in it: it could undo the mounts that guard `/proc`.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Open files that a program may have unless it asks for more: the customary limit, whatever the host's is.
const OPEN_FILES: u64 = 1024;

/// The exit code of a child that failed before it became the command.
const NOT_STARTED: i32 = 127;

/// What the child tells before it becomes the command.
#[derive(Serialize, Deserialize)]
enum Word {
    /// This was made in the image as a mount point, and must go again.
    Made(String),
    /// It will not become the command.
    Failed(Failure),
}

/// Runs a command to its end.
pub(super) fn run(
    folder: &Folder,
    request: &RunRequest,
    channel: &Channel,
    cancel: &OwnedFd,
    children: &OwnedFd,
) -> Result<Reply, Failure> {
    let (words_from, words_to) = pipe_with(PipeFlags::CLOEXEC).start("make a pipe")?;
    let (output_from, output_to) = pipe_with(PipeFlags::CLOEXEC).start("make a pipe")?;
    let stdin = request.stdin.as_deref().map(stdin_file).transpose().start("keep its input")?;
    let child = sys::fork(|| {
        let mut words = std::fs::File::from(words_to.try_clone().unwrap_or_else(|_| sys::exit(NOT_STARTED)));
        let failure = become_command(request, stdin.as_ref(), &output_to, &mut words);
        tell(&mut words, &Word::Failed(failure));
        NOT_STARTED
    })
    .start("start a process")?;
    drop((words_to, output_to, stdin));

    let words = listen(words_from);
    let watched = watch(child, channel, cancel, children, &output_from);
    let mut failure = None;
    for word in words.into_iter().rev() {
        match word {
            Word::Made(path) => remove_mount_point(folder, &path),
            Word::Failed(what) => failure = Some(what),
        }
    }
    match (watched?, failure) {
        (Reply::Cancelled, _) => Ok(Reply::Cancelled),
        (_, Some(failure)) => Err(failure),
        (reply, None) => Ok(reply),
    }
}

/// In the child: puts on all that a command gets. Returns what kept it from becoming the command.
fn become_command(
    request: &RunRequest,
    stdin: Option<&OwnedFd>,
    output: &OwnedFd,
    words: &mut std::fs::File,
) -> Failure {
    match prepare(request, stdin, output, words).and_then(|()| execute(request)) {
        Ok(()) => Failure { at: crate::wire::At::Start, what: "run it".to_owned(), errno: libc::EIO },
        Err(failure) => failure,
    }
}

fn prepare(
    request: &RunRequest,
    stdin: Option<&OwnedFd>,
    output: &OwnedFd,
    words: &mut std::fs::File,
) -> Result<(), Failure> {
    rustix::process::setsid().start("start a session of its own")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    mounts::enter_image(request, &mut |path| tell(words, &Word::Made(path)))?;

    // Standard input is the agent's /dev/null otherwise.
    let user = (Uid::from_raw(request.user.uid), Gid::from_raw(request.user.gid));
    if let Some(stdin) = stdin {
        fchown(stdin, Some(user.0), Some(user.1)).start("hand over its input")?;
        rustix::stdio::dup2_stdin(stdin).start("hand over its input")?;
    }
    // So that the command's user can open /dev/stderr.
    fchown(output, Some(user.0), Some(user.1)).start("hand over its output")?;
    rustix::stdio::dup2_stdout(output).start("hand over its output")?;
    rustix::stdio::dup2_stderr(output).start("hand over its output")?;

    limit(Resource::Nofile, OPEN_FILES);
    limit(Resource::Core, 0);
    quiet::install().start("install a system call filter")?;
    drop_capabilities().start("drop capabilities")?;
    let groups: Vec<Gid> = request.user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    rustix::thread::set_thread_groups(&groups).start("take on its user's groups")?;
    rustix::thread::set_thread_res_gid(user.1, user.1, user.1).start("take on its user's group")?;
    rustix::thread::set_thread_res_uid(user.0, user.0, user.0).start("take on its user")?;
    rustix::process::chdir(request.cwd.as_str()).start(format!("enter its working folder {}", request.cwd))
}

/// Lowers the soft limit.
fn limit(resource: Resource, wanted: u64) {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let _ = setrlimit(resource, Rlimit { current, maximum });
}

fn drop_capabilities() -> rustix::io::Result<()> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if CAPABILITIES.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Err(Errno::INVAL) => break, // The kernel knows no more.
            other => other?,
        }
    }
    let sets = CapabilitySets { effective: CAPABILITIES, permitted: CAPABILITIES, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

/// Becomes the program; looks for it as `execvp` does, in the `PATH` of the command's own environment.
fn execute(request: &RunRequest) -> Result<(), Failure> {
    let text = |string: String| CString::new(string).map_err(|_| Errno::INVAL);
    let strings = |strings: Vec<String>| strings.into_iter().map(text).collect::<Result<Vec<_>, _>>();
    let argv = strings(request.argv.clone()).start("pass its arguments, which hold a zero byte")?;
    let env = request.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let env = strings(env).start("pass its environment, which holds a zero byte")?;
    let program = request.argv.first().map_or("", String::as_str);
    let search = request.env.iter().rev().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value.as_str());
    let candidates: Vec<String> = if program.contains('/') || program.is_empty() {
        vec![program.to_owned()]
    } else {
        search.split(':').filter(|folder| !folder.is_empty()).map(|folder| format!("{folder}/{program}")).collect()
    };
    let mut best = Errno::NOENT;
    for candidate in candidates {
        let path = text(candidate).start("run it")?;
        match sys::exec(&path, &argv, &env) {
            Errno::NOENT | Errno::NOTDIR => {}
            // A script without a first line that names its interpreter.
            Errno::NOEXEC => {
                let mut through_shell = vec![c"/bin/sh".to_owned(), path];
                through_shell.extend(argv.into_iter().skip(1));
                best = sys::exec(c"/bin/sh", &through_shell, &env);
                break;
            }
            error => best = error,
        }
    }
    Err(best).start(if best == Errno::NOENT { "find it, or the interpreter that it names" } else { "run it" })
}

/// Input as a file of its own in memory: nobody needs to feed it.
fn stdin_file(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}

fn tell(words: &mut std::fs::File, word: &Word) {
    if let Ok(frame) = postcard::to_stdvec_cobs(word) {
        let _ = words.write_all(&frame);
    }
}

/// Waits until the child has become the command, or has given up.
fn listen(words: OwnedFd) -> Vec<Word> {
    let mut bytes = Vec::new();
    let _ = std::fs::File::from(words).read_to_end(&mut bytes);
    bytes.split_inclusive_mut(|&byte| byte == 0).filter_map(|frame| postcard::from_bytes_cobs(frame).ok()).collect()
}

/// Passes output on until the command ends, then ends what it left behind.
fn watch(
    child: Pid,
    channel: &Channel,
    cancel: &OwnedFd,
    children: &OwnedFd,
    output: &OwnedFd,
) -> Result<Reply, Failure> {
    let mut buffer = vec![0; 64 << 10];
    let mut output_open = true;
    let ended = loop {
        let mut fds = vec![
            PollFd::new(channel, PollFlags::IN),
            PollFd::new(cancel, PollFlags::IN),
            PollFd::new(children, PollFlags::IN),
        ];
        if output_open {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).start("watch it"),
        }
        let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let (hung_up, cancelled, child_ended, output_ready) = (ready(0), ready(1), ready(2), ready(3));
        if hung_up {
            // Nobody waits for an answer: the session is gone, or broken. All inside dies with this process.
            sys::exit(0);
        }
        if cancelled {
            break None;
        }
        if output_ready {
            output_open = forward(output, channel, &mut buffer)?;
        }
        if child_ended {
            let _ = rustix::io::read(children, &mut buffer[..512]);
            if let Some(status) = reap(child) {
                break Some(status);
            }
        }
    };
    sys::kill_all_others();
    while !matches!(wait(WaitOptions::empty()), Err(Errno::CHILD)) {
        sys::kill_all_others();
    }
    while output_open {
        output_open = forward(output, channel, &mut buffer)?;
    }
    Ok(ended.map_or(Reply::Cancelled, Reply::Ended))
}

/// Passes on what there is; false at the end.
fn forward(output: impl AsFd, channel: &Channel, buffer: &mut [u8]) -> Result<bool, Failure> {
    match rustix::io::read(output, &mut *buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            channel.send(&Reply::Output(buffer[..count].to_vec())).start("pass on its output")?;
            Ok(true)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(error) => Err(error).start("read its output"),
    }
}

/// Collects all children that ended, orphans too; answers how the command ended once it has.
fn reap(command: Pid) -> Option<CommandStatus> {
    let mut ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == command => ended = Some(meaning(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return ended,
        }
    }
}

fn meaning(status: WaitStatus) -> CommandStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(signal)) => CommandStatus::Signalled(signal),
        (code, None) => CommandStatus::Exited(code.unwrap_or(NOT_STARTED)),
    }
}

/// Removes an empty file or folder that was made as a mount point. What has become something else stays.
fn remove_mount_point(folder: &Folder, path: &str) {
    let (above, name) = paths::split(path);
    let Ok(above) = paths::folder(&folder.root, above) else { return };
    let Ok(found) = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
    let flags = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if found.st_size == 0 => AtFlags::empty(),
        _ => return,
    };
    let _ = unlinkat(&above, name, flags);
}

//! A session as its owner sees it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use smolvm_rootfs::{Content, InodeId, Kind, RootTree};

use crate::agent::{self, Task};
use crate::host::{self, Identity};
use crate::wire::{Channel, Found, FoundWhat, Reply, Request, RunRequest};
use crate::{CommandStatus, CommandUser, MemoryFolder, PlaceOp, SandboxCommand, SandboxError, SandboxOptions};
use crate::{idmap, sys};

/// Starts a session over a scratch folder. At most one session at a time may use a folder.
pub fn start(options: &SandboxOptions) -> Result<Session, SandboxError> {
    let scratch = options.memory.as_ref().map_or(&*options.scratch, MemoryFolder::path);
    let scratch = std::path::absolute(scratch).map_err(files("find", scratch))?;
    prepare_folder(&scratch)?;
    let identity = host::identity();
    let within = options.memory.as_ref().map(MemoryFolder::namespaces).transpose();
    let task = Task::Serve {
        scratch: open_folder(&scratch)?,
        within: within.map_err(files("enter", &scratch))?,
        network: options.network,
        hostname: options.hostname.clone(),
        identity,
    };
    Session::launch(task, scratch, identity)
}

/// Finds out, by making a sandbox and not by trusting settings, whether this machine can.
pub fn check_host() -> Result<Identity, SandboxError> {
    let identity = host::identity();
    Session::launch(Task::Probe, PathBuf::from("/"), identity).map(|session| {
        session.close();
        identity
    })
}

/// A running sandbox over one scratch folder. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Session {
    /// `None` once it was closed: the agent then ends, and with it everything inside.
    channel: Option<Channel>,
    agent: Pid,
    scratch: PathBuf,
    cancelled: Arc<Cancellation>,
}

impl Session {
    /// Forks an agent and waits until it is ready for requests.
    pub(crate) fn launch(task: Task, scratch: PathBuf, identity: Identity) -> Result<Self, SandboxError> {
        // A namespace that is joined has its maps.
        let is_new = !matches!(&task, Task::Serve { within: Some(_), .. });
        let maps = is_new.then(|| idmap::Maps::plan(identity)).transpose()?;
        let setup =
            |source: Errno| SandboxError::Setup { what: "make a socket pair".to_owned(), source: source.into() };
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(setup)?;
        let signal = eventfd(0, EventfdFlags::CLOEXEC).map_err(setup)?;
        let cancelled = Arc::new(Cancellation { signal, set: AtomicBool::new(false) });
        let agent = sys::fork(|| agent::live(task, &theirs, &cancelled.signal))
            .map_err(|source| SandboxError::Setup { what: "start a process".to_owned(), source })?;
        drop(theirs);
        let session = Self { channel: Some(Channel::new(ours)), agent, scratch, cancelled };
        // What fails from here on drops the session, and so ends the agent.
        match session.answer("starting")? {
            Reply::Unshared => {}
            Reply::Failed(failure) => return Err(host::explain(failure, identity, &session.scratch)),
            _ => return Err(SandboxError::AgentGone { doing: "starting" }),
        }
        if let Some(maps) = maps {
            maps.write(agent)?;
        }
        session.ask(&Request::Mapped, "starting")?;
        match session.answer("starting")? {
            Reply::Done => Ok(session),
            Reply::Failed(failure) => Err(host::explain(failure, identity, &session.scratch)),
            _ => Err(SandboxError::AgentGone { doing: "starting" }),
        }
    }

    /// Carries out the operations in order, up to the first that fails.
    pub fn place(&mut self, ops: &[PlaceOp]) -> Result<(), SandboxError> {
        self.check_cancelled()?;
        self.ask(&Request::Place(Cow::Borrowed(ops)), "placing files")?;
        self.done("placing files")
    }

    /// Runs a command to its end, handing over what it writes to stdout and stderr as it comes.
    ///
    /// Processes that it leaves behind are killed when it ends.
    pub fn run(
        &mut self,
        command: &SandboxCommand,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<CommandStatus, SandboxError> {
        const DOING: &str = "running a command";
        self.check_cancelled()?;
        self.ask(&Request::Run(Box::new(request(command))), DOING)?;
        loop {
            match self.answer(DOING)? {
                Reply::Output(bytes) => on_output(&bytes),
                Reply::Ended(status) => return Ok(status),
                Reply::Cancelled => return Err(SandboxError::Cancelled),
                Reply::Failed(failure) => {
                    let program = command.argv.first().cloned().unwrap_or_default();
                    return Err(failure.into_command_error(program));
                }
                _ => return Err(SandboxError::AgentGone { doing: DOING }),
            }
        }
    }

    /// The bytes of a file of the image (links followed inside the image), or `None` where there is none.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, SandboxError> {
        self.ask(&Request::Read(path.to_owned()), "reading a file")?;
        match self.answer("reading a file")? {
            Reply::Content(content) => Ok(content),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SandboxError::AgentGone { doing: "reading a file" }),
        }
    }

    /// Reads the image's folder into a tree, without changing the folder.
    ///
    /// The tree's contents lie in the scratch folder: under `root/`, or copied to `private/` what the building user
    /// could not read otherwise.
    pub fn harvest(&mut self) -> Result<RootTree, SandboxError> {
        const DOING: &str = "reading the image's folder";
        self.check_cancelled()?;
        self.ask(&Request::Harvest, DOING)?;
        let mut tree = RootTree::new(0);
        let mut ids = Vec::new();
        let mut refused = None;
        loop {
            match self.answer(DOING)? {
                // After a refusal the rest is still on its way.
                Reply::Found(batch) => {
                    let mut batch = batch.into_iter();
                    while refused.is_none()
                        && let Some(found) = batch.next()
                    {
                        refused = add(&mut tree, &mut ids, &self.scratch, found).err();
                    }
                }
                Reply::Done => return refused.map_or(Ok(tree), Err),
                Reply::Failed(failure) => return Err(failure.into()),
                _ => return Err(SandboxError::AgentGone { doing: DOING }),
            }
        }
    }

    /// A handle that ends the session's commands from another thread, for good.
    pub fn canceller(&self) -> Canceller {
        Canceller { cancelled: Arc::clone(&self.cancelled) }
    }

    /// Ends the session and waits until nothing of it runs any more, as dropping it does.
    pub fn close(self) {
        drop(self);
    }

    /// The descriptors that follow an agent's last answer.
    pub(crate) fn descriptors<const COUNT: usize>(&self) -> Result<[OwnedFd; COUNT], SandboxError> {
        let received = self.channel.as_ref().and_then(|channel| channel.receive_descriptors().ok());
        received.and_then(|found| found.try_into().ok()).ok_or(SandboxError::AgentGone { doing: "starting" })
    }

    fn check_cancelled(&self) -> Result<(), SandboxError> {
        if self.cancelled.set.load(Ordering::Acquire) { Err(SandboxError::Cancelled) } else { Ok(()) }
    }

    fn ask(&self, request: &Request<'_>, doing: &'static str) -> Result<(), SandboxError> {
        let gone = SandboxError::AgentGone { doing };
        let Some(channel) = &self.channel else { return Err(gone) };
        channel.send(request).map_err(|_| gone)
    }

    fn answer(&self, doing: &'static str) -> Result<Reply, SandboxError> {
        let reply = self.channel.as_ref().and_then(|channel| channel.receive().ok().flatten());
        reply.ok_or(SandboxError::AgentGone { doing })
    }

    fn done(&self, doing: &'static str) -> Result<(), SandboxError> {
        match self.answer(doing)? {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SandboxError::AgentGone { doing }),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.channel = None;
        while matches!(waitpid(Some(self.agent), WaitOptions::empty()), Err(Errno::INTR)) {}
    }
}

/// Cancels a session: the running command is killed, and it and all later requests answer [`SandboxError::Cancelled`].
#[derive(Debug, Clone)]
pub struct Canceller {
    cancelled: Arc<Cancellation>,
}

impl Canceller {
    /// Cancels.
    pub fn cancel(&self) {
        self.cancelled.set.store(true, Ordering::Release);
        // The agent never reads it, so that it stays set. It only fails where it is set as often as it can be.
        let _ = rustix::io::write(&self.cancelled.signal, &1_u64.to_ne_bytes());
    }
}

#[derive(Debug)]
struct Cancellation {
    signal: OwnedFd,
    set: AtomicBool,
}

fn request(command: &SandboxCommand) -> RunRequest {
    RunRequest {
        argv: command.argv.clone(),
        env: command.env.clone(),
        cwd: command.cwd.clone(),
        user: command.user.clone().unwrap_or(CommandUser { uid: 0, gid: 0, groups: Vec::new() }),
        stdin: command.stdin.clone(),
        secrets: command.secrets.iter().map(|secret| (secret.name.clone(), secret.content.clone())).collect(),
        mounted_files: command.mounted_files.clone(),
    }
}

fn add(tree: &mut RootTree, ids: &mut Vec<InodeId>, scratch: &Path, found: Found) -> Result<(), SandboxError> {
    let refused = |error: smolvm_rootfs::TreeError| SandboxError::Harvest {
        path: found.path.clone(),
        what: "list it".to_owned(),
        source: std::io::Error::other(error),
    };
    match found.what {
        FoundWhat::Inode { mut inode, private } => {
            if let Kind::File(Content::File { path, .. }) = &mut inode.kind {
                *path = match private {
                    Some(number) => scratch.join("private").join(number.to_string()),
                    None => scratch.join("root").join(&found.path),
                };
            }
            ids.push(tree.insert(&found.path, inode).map_err(refused)?);
        }
        FoundWhat::Again(number) => {
            let id = ids.get(number as usize).copied();
            let id = id.ok_or(SandboxError::AgentGone { doing: "reading the image's folder" })?;
            tree.link(&found.path, id).map_err(refused)?;
        }
    }
    Ok(())
}

/// Makes the scratch folder with `root/` and `content/` in it, and shuts other users out: they could use the setuid
/// programs of an old image.
fn prepare_folder(scratch: &Path) -> Result<(), SandboxError> {
    let make = |path: &Path, mode: u32| -> Result<(), SandboxError> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) if mode == 0o700 => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(error) => return Err(files("make", path)(error.into())),
        }
        // Whatever the umask says.
        rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(|error| files("close", path)(error.into()))
    };
    if let Some(above) = scratch.parent() {
        fs_err::create_dir_all(above).map_err(files("make", above))?;
    }
    make(scratch, 0o700)?;
    make(&scratch.join("root"), 0o755)?;
    make(&scratch.join("content"), 0o755)
}

pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd, SandboxError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| files("open", path)(error.into()))
}

pub(crate) fn files(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> SandboxError {
    let what = format!("could not {what} {}", path.display());
    move |source| SandboxError::Files { what, source }
}

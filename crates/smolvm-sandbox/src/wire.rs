//! What session and agent say to each other: postcard frames, each after its length, over a socket pair.

use std::borrow::Cow;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv,
    recvmsg, send, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smolvm_rootfs::Inode;

use crate::{CommandStatus, CommandUser, MountedFile, PlaceOp};

/// Open files that are sent at a time.
const MOST_DESCRIPTORS: usize = 3;

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one frame, or fails with `EPIPE` where nobody listens.
    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let frame = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
        self.send_frame(frame)
    }

    fn send_frame(&self, mut frame: Vec<u8>) -> io::Result<()> {
        let length = u32::try_from(frame.len() - 4).map_err(|_| Errno::MSGSIZE)?;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for one frame; `None` once the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        if !self.fill(&mut frame)? {
            return Ok(None);
        }
        postcard::from_bytes(&frame).map(Some).map_err(io::Error::other)
    }

    /// Sends open files, which the other end gets as its own.
    pub(crate) fn send_descriptors(&self, descriptors: &[OwnedFd]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(Errno::MSGSIZE.into());
        }
        // They have to go along with something.
        sendmsg(&self.socket, &[io::IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for open files.
    pub(crate) fn receive_descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(&self.socket, &mut [io::IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let files = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        Ok(files.flatten().collect())
    }

    fn fill(&self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut rest = buffer;
        while !rest.is_empty() {
            match recv(&self.socket, &mut *rest, RecvFlags::empty()) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(false),
                Ok((count, _)) => rest = &mut rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a session asks.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request<'a> {
    /// The id maps are written: go on.
    Mapped,
    Place(Cow<'a, [PlaceOp]>),
    Run(Box<RunRequest>),
    Read(String),
    Harvest,
}

/// A [`crate::SandboxCommand`] on its way to the agent; it holds secrets, and so has no `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct RunRequest {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) user: CommandUser,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) secrets: Vec<(String, Vec<u8>)>,
    pub(crate) mounted_files: Vec<MountedFile>,
}

/// What the agent answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The namespaces are there, without id maps.
    Unshared,
    /// What was asked is done.
    Done,
    /// Output of the running command.
    Output(Vec<u8>),
    /// The command ended.
    Ended(CommandStatus),
    /// The session was cancelled.
    Cancelled,
    /// A file's content, or that there is no such file.
    Content(Option<Vec<u8>>),
    /// A part of the tree.
    Found(Vec<Found>),
    /// It did not work.
    Failed(Failure),
}

/// One name of the tree.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) what: FoundWhat,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FoundWhat {
    /// A new inode. A file's content is at `root/<path>`, or at `private/<number>`; its `Content` carries the size only.
    Inode { inode: Inode, private: Option<u64> },
    /// One more name of an inode that was sent before, the so-many-eth.
    Again(u32),
}

/// What went wrong in the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) at: At,
    /// What was tried, as an error says it: "mount /proc".
    pub(crate) what: String,
    pub(crate) errno: i32,
}

/// Where it went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum At {
    /// Making the sandbox.
    Setup,
    /// Using the scratch folder.
    Folder,
    /// Changing this path of the image.
    Place(String),
    /// A path that no image has.
    BadPath(String),
    /// Starting a command.
    Start,
    /// Reading this path of the image.
    Harvest(String),
    /// A name that is not UTF-8, as it can be shown.
    NotUtf8(String),
}

/// Puts words to a failed system call.
pub(crate) trait Explain<T> {
    fn explain(self, at: At, what: impl Into<String>) -> Result<T, Failure>;

    /// For [`At::Setup`].
    fn setup(self, what: impl Into<String>) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.explain(At::Setup, what)
    }

    /// For [`At::Start`].
    fn start(self, what: impl Into<String>) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.explain(At::Start, what)
    }
}

impl<T> Explain<T> for rustix::io::Result<T> {
    fn explain(self, at: At, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|errno| Failure { at, what: what.into(), errno: errno.raw_os_error() })
    }
}

impl<T> Explain<T> for io::Result<T> {
    fn explain(self, at: At, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure { at, what: what.into(), errno: error.raw_os_error().unwrap_or(libc::EIO) })
    }
}

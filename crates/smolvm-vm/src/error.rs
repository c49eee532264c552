//! Why an image did not run.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use miette::Diagnostic;
use thiserror::Error;

use crate::boot_args::Vmm;

/// Why an image did not run.
#[derive(Debug, Error, Diagnostic)]
pub enum VmError {
    /// The virtual machine monitor is not installed.
    #[error("`{program}` was not found, and it is what boots the image")]
    #[diagnostic(code(smolvm::vm::vmm_missing), help("Install it.\n{install}"))]
    VmmMissing {
        /// The program.
        program: &'static str,
        /// How.
        install: &'static str,
    },

    /// Firecracker works with KVM alone.
    #[error("Firecracker needs KVM, and `/dev/kvm` cannot be used: {source}")]
    #[diagnostic(
        code(smolvm::vm::no_kvm),
        help(
            "Join the group `kvm`, or on a virtual machine turn on nested virtualisation; `--vmm qemu` also works without KVM, slowly."
        )
    )]
    NoKvm {
        /// Why not.
        source: io::Error,
    },

    /// There is no network device for the guest.
    #[error("no network device for the guest could be made: {output}")]
    #[diagnostic(
        code(smolvm::vm::no_tap),
        help(
            "That takes root and the program `ip`. Or let root make one that lasts, and name it with `--tap tap0`:\n\
             sudo ip tuntap add dev tap0 mode tap user $USER\n\
             sudo ip address add 172.16.0.1/24 dev tap0\n\
             sudo ip link set tap0 up"
        )
    )]
    NoTap {
        /// What `ip` said.
        output: String,
    },

    /// Somebody else listens there.
    #[error("the port {port} of {address} cannot be forwarded: {source}")]
    #[diagnostic(code(smolvm::vm::port_taken), help("Name another port with `--publish PORT:GUEST_PORT`."))]
    PortTaken {
        /// Of this machine.
        address: std::net::Ipv4Addr,
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },

    /// The VMM has no such device.
    #[error("{vmm} cannot share folders with a guest: it has no 9p device")]
    #[diagnostic(code(smolvm::vm::no_shares), help("Use `--vmm qemu`, or copy the files with scp."))]
    NoShares {
        /// Which.
        vmm: Vmm,
    },

    /// More processors than it takes.
    #[error("{vmm} gives a guest at most {limit} processors")]
    #[diagnostic(code(smolvm::vm::too_many_cpus), help("Ask for fewer with `--cpus`."))]
    TooManyCpus {
        /// Which.
        vmm: Vmm,
        /// How many.
        limit: u32,
    },

    /// The folder to be shared is none.
    #[error("`{}` cannot be shared: it is no folder", folder.display())]
    #[diagnostic(code(smolvm::vm::share_missing), help("Name a folder of this machine: `--share FOLDER:GUEST_PATH`."))]
    ShareMissing {
        /// What was named.
        folder: PathBuf,
    },

    /// The kernel of the image cannot mount shared folders.
    #[error("`{}` cannot be shared: the image's kernel has no 9p file system", folder.display())]
    #[diagnostic(
        code(smolvm::vm::kernel_without_9p),
        help(
            "Debian's cloud kernel has none. Build the image with `kernel: smolvm`, or with a kernel of your own that has it (see kernel/README.md)."
        )
    )]
    KernelWithout9p {
        /// The folder.
        folder: PathBuf,
    },

    /// The guest did not mount a shared folder.
    #[error("the guest could not mount `{}` at {target}: {output}", folder.display())]
    #[diagnostic(code(smolvm::vm::share_failed), help("Is there something else in the guest's path?"))]
    ShareFailed {
        /// The folder.
        folder: PathBuf,
        /// Where in the guest.
        target: String,
        /// What it said.
        output: String,
    },

    /// Another guest runs from the disk.
    #[error("another guest uses the disk `{}`", disk.display())]
    #[diagnostic(code(smolvm::vm::disk_in_use), help("Power it off first, or name another file."))]
    DiskInUse {
        /// The disk.
        disk: PathBuf,
    },

    /// Nobody may write on it, as on the files of an image.
    #[error("`{}` is read-only, as the files of the image store are", disk.display())]
    #[diagnostic(
        code(smolvm::vm::disk_read_only),
        help(
            "Name a file that is not there yet, and the disk is made in it; or `chmod u+w` this one, if it is a copy of yours."
        )
    )]
    DiskReadOnly {
        /// The disk.
        disk: PathBuf,
    },

    /// A file that is there and is something else.
    #[error("`{}` is no disk: it is no file with an ext4 file system", disk.display())]
    #[diagnostic(
        code(smolvm::vm::no_disk),
        help("Name a file that is not there yet, and the disk is made in it. This one was left as it is.")
    )]
    NoDisk {
        /// The file.
        disk: PathBuf,
    },

    /// A configuration is text.
    #[error("the path `{}` cannot be written into a configuration for {vmm}: {problem}", path.display())]
    #[diagnostic(code(smolvm::vm::path), help("Keep the image store, or the file that you named, under another path."))]
    Path {
        /// The path.
        path: PathBuf,
        /// Whose configuration.
        vmm: Vmm,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// The SSH client is not installed.
    #[error("`ssh` was not found, and it is what runs the command in the guest")]
    #[diagnostic(
        code(smolvm::vm::ssh_missing),
        help("Install it.\nDebian, Ubuntu: sudo apt install openssh-client\nFedora: sudo dnf install openssh-clients")
    )]
    SshMissing,

    /// The image has no SSH server.
    #[error("this image was built with `ssh: false`, so there is no way to run a command in it")]
    #[diagnostic(
        code(smolvm::vm::no_ssh),
        help(
            "Take `ssh: false` out of the Smolfile and build again, or start it yourself: `smolvm image inspect NAME --format qemu` prints how."
        )
    )]
    NoSsh,

    /// The command line is longer than kernels take.
    #[error("the boot arguments have {length} bytes, and the kernel takes {limit}")]
    #[diagnostic(code(smolvm::vm::boot_args_too_long), help("Shorten `boot.args` in the Smolfile."))]
    BootArgsTooLong {
        /// Their length.
        length: usize,
        /// What the kernel takes.
        limit: usize,
    },

    /// The virtual machine monitor itself failed.
    #[error("`{program}` ended with {status} before the guest answered:\n{output}")]
    #[diagnostic(code(smolvm::vm::vmm_failed), help("See its own words above."))]
    VmmFailed {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },

    /// The guest powered off or panicked before SSH answered.
    #[error("the guest stopped before SSH answered; {console}")]
    #[diagnostic(
        code(smolvm::vm::guest_stopped),
        help("A line with `Kernel panic` names the reason; without one, the guest powered itself off.")
    )]
    GuestStopped {
        /// The end of its console.
        console: ConsoleEnd,
    },

    /// The guest's sshd does not run.
    #[error("the guest has no running sshd; {console}")]
    #[diagnostic(
        code(smolvm::vm::sshd_failed),
        help("A file under /etc/ssh/sshd_config.d that sshd does not accept is the usual reason.")
    )]
    SshdFailed {
        /// The end of its console.
        console: ConsoleEnd,
    },

    /// SSH did not answer in time.
    #[error("SSH did not answer within {} s; {console}", waited.as_secs())]
    #[diagnostic(
        code(smolvm::vm::no_answer),
        help("Give it more time or memory; without KVM a guest is emulated, and slow.")
    )]
    NoAnswer {
        /// How long smolvm waited.
        waited: Duration,
        /// The end of its console.
        console: ConsoleEnd,
    },

    /// SSH answered, and did not let us in.
    #[error("SSH answered but refused the key that this boot was given: {output}; {console}")]
    #[diagnostic(
        code(smolvm::vm::ssh_refused),
        help(
            "Something in the image keeps root from logging in with a key: look at /etc/ssh/sshd_config.d and /etc/passwd."
        )
    )]
    SshRefused {
        /// The client's words.
        output: String,
        /// The end of the console.
        console: ConsoleEnd,
    },

    /// The connection broke while the command ran.
    #[error("the guest went away while the command ran; {console}")]
    #[diagnostic(
        code(smolvm::vm::connection_lost),
        help("If the guest ran out of memory, give it more; if the command powered it off, that is why.")
    )]
    ConnectionLost {
        /// The end of its console.
        console: ConsoleEnd,
    },

    /// The connection broke, and the guest goes on.
    #[error("the connection to the guest broke while the command ran, though the guest itself is up; {console}")]
    #[diagnostic(
        code(smolvm::vm::connection_broke),
        help("Did the command end sshd, or change the network? What it did until then was done.")
    )]
    ConnectionBroke {
        /// The end of its console.
        console: ConsoleEnd,
    },

    /// A file or process operation failed.
    #[error("could not {action}")]
    #[diagnostic(code(smolvm::vm::io))]
    Io {
        /// What was tried, in words.
        action: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl VmError {
    /// Whether the machine that smolvm runs on lacks something, rather than the image.
    pub const fn host_lacks_something(&self) -> bool {
        matches!(
            self,
            Self::VmmMissing { .. }
                | Self::SshMissing
                | Self::NoKvm { .. }
                | Self::NoTap { .. }
                | Self::PortTaken { .. }
        )
    }

    /// Whether what was asked for is wrong.
    pub const fn is_input_fault(&self) -> bool {
        matches!(
            self,
            Self::NoSsh
                | Self::BootArgsTooLong { .. }
                | Self::NoShares { .. }
                | Self::TooManyCpus { .. }
                | Self::ShareMissing { .. }
                | Self::KernelWithout9p { .. }
                | Self::DiskInUse { .. }
                | Self::DiskReadOnly { .. }
                | Self::NoDisk { .. }
                | Self::Path { .. }
        )
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// The last lines of a guest's console, and where all of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleEnd {
    /// The last lines.
    pub lines: Vec<String>,
    /// The whole log.
    pub log: PathBuf,
}

impl fmt::Display for ConsoleEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return write!(f, "its console, {}, is empty", self.log.display());
        }
        write!(f, "the end of its console, {}:", self.log.display())?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

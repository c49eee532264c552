//! Why an image did not run.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use miette::Diagnostic;
use thiserror::Error;

/// Why an image did not run.
#[derive(Debug, Error, Diagnostic)]
pub enum VmError {
    /// QEMU is not installed.
    #[error("`{program}` was not found, and it is what boots the image")]
    #[diagnostic(
        code(smolvm::vm::qemu_missing),
        help(
            "Install it.\nDebian, Ubuntu: sudo apt install {debian}\nFedora: sudo dnf install {fedora}\nmacOS: brew install qemu"
        )
    )]
    QemuMissing {
        /// The program.
        program: &'static str,
        /// The package that holds it in Debian and Ubuntu.
        debian: &'static str,
        /// The package that holds it in Fedora.
        fedora: &'static str,
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
    #[diagnostic(code(smolvm::vm::no_ssh), help("Take `ssh: false` out of the Smolfile and build again."))]
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

    /// QEMU itself failed.
    #[error("QEMU ended with {status} before the guest started:\n{output}")]
    #[diagnostic(code(smolvm::vm::qemu_failed), help("See QEMU's own words above."))]
    QemuFailed {
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
        matches!(self, Self::QemuMissing { .. } | Self::SshMissing)
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

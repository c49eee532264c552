//! What can go wrong, in words for the person who builds.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::wire::{At, Failure};

/// Why a sandbox could not be started, or did not do what it was asked.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum SandboxError {
    /// User namespaces are switched off by a system setting.
    #[error("this machine does not let ordinary users make user namespaces: {setting} is {value}")]
    #[diagnostic(
        code(smolvm::sandbox::user_namespaces_disabled),
        help(
            "switch them on, now and for the next boot:\n  echo '{setting} = {wanted}' | sudo tee /etc/sysctl.d/90-smolvm.conf && sudo sysctl --system\nor build as root"
        )
    )]
    NamespacesDisabled {
        /// The sysctl.
        setting: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        wanted: &'static str,
    },

    /// Ubuntu's `AppArmor` lets namespaces be made and then denies every capability in them.
    #[error("AppArmor restricts user namespaces on this machine: one was made, but every privilege in it is denied")]
    #[diagnostic(
        code(smolvm::sandbox::apparmor_restricts_namespaces),
        help(
            "allow smolvm by a profile (kept over reboots):\n  printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile smolvm {program} flags=(unconfined) {{\\n  userns,\\n}}\\n' | sudo tee /etc/apparmor.d/smolvm && sudo apparmor_parser -r /etc/apparmor.d/smolvm\nor lift the restriction for everybody:\n  sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0\nor build as root"
        )
    )]
    AppArmor {
        /// The running program, whose profile is missing.
        program: String,
    },

    /// `newuidmap` or `newgidmap` is not installed.
    #[error("`{helper}` is not installed; building without root needs it to map a range of user ids")]
    #[diagnostic(
        code(smolvm::sandbox::missing_helper),
        help(
            "install it:\n  Debian, Ubuntu:  sudo apt install uidmap\n  Fedora:          sudo dnf install shadow-utils\n  Alpine:          sudo apk add shadow-subids\nor build as root"
        )
    )]
    MissingHelper {
        /// Which.
        helper: &'static str,
    },

    /// The user has no sub-ids, or too few.
    #[error("{file} gives user `{user}` {found} ids; a sandbox needs {needed}")]
    #[diagnostic(
        code(smolvm::sandbox::no_sub_ids),
        help(
            "give the user a range:\n  sudo usermod --add-subuids {free_uids} --add-subgids {free_gids} {user}\nor build as root"
        )
    )]
    NoSubIds {
        /// Who.
        user: String,
        /// The table that was read.
        file: &'static str,
        /// How many ids it gives.
        found: u64,
        /// How many are needed.
        needed: u64,
        /// A range of user ids nobody has, for the help.
        free_uids: String,
        /// A range of group ids nobody has, for the help.
        free_gids: String,
    },

    /// The id maps could not be written.
    #[error("the user ids of the sandbox could not be mapped: {reason}")]
    #[diagnostic(
        code(smolvm::sandbox::id_map),
        help(
            "check that the helpers are setuid root (`ls -l /usr/bin/newuidmap /usr/bin/newgidmap`; reinstalling the package `uidmap` repairs them) and that /etc/subuid and /etc/subgid give this user ids that no one else has; or build as root"
        )
    )]
    IdMap {
        /// What the kernel or the helper said.
        reason: String,
    },

    /// The process may not make namespaces although no setting forbids it: a container, most likely.
    #[error("this process may not {what}: {source}")]
    #[diagnostic(
        code(smolvm::sandbox::not_permitted),
        help(
            "this looks like a container. Start it with `--privileged`, or with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`; or build on the host"
        )
    )]
    NotPermitted {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// The kernel lacks something.
    #[error("this machine's kernel cannot do what a sandbox needs: could not {what}: {source}")]
    #[diagnostic(
        code(smolvm::sandbox::kernel_too_old),
        help("Linux 5.9 or newer with user namespaces (CONFIG_USER_NS) is needed")
    )]
    Kernel {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// The scratch folder lies on a file system that will not do.
    #[error("{} cannot hold a build: {reason}", path.display())]
    #[diagnostic(
        code(smolvm::sandbox::unsuitable_folder),
        help(
            "choose a store on a local file system (ext4, xfs, btrfs, tmpfs) mounted without `noexec`, with `--image-dir`"
        )
    )]
    Folder {
        /// The scratch folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },

    /// A step of making the sandbox failed for another reason.
    #[error("the sandbox could not be made: could not {what}: {source}")]
    #[diagnostic(
        code(smolvm::sandbox::setup),
        help(
            "a build needs Linux 5.9 or newer with user, mount and pid namespaces, and a store folder that may hold executable files"
        )
    )]
    Setup {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// Files of the scratch folder itself.
    #[error("{what}: {source}")]
    #[diagnostic(code(smolvm::sandbox::files), help("check the folder's owner, and the space left on its disk"))]
    Files {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },

    /// A change to the image's folder was refused.
    #[error("/{path}: could not {what}: {source}")]
    #[diagnostic(code(smolvm::sandbox::place))]
    Place {
        /// Where, inside the image.
        path: String,
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// A path that a place operation may not have.
    #[error("`{path}` is no path inside an image")]
    #[diagnostic(
        code(smolvm::sandbox::bad_path),
        help(
            "such a path has no name, a `..`, or a zero byte in it; the package that asks for it is broken or hostile"
        )
    )]
    BadPath {
        /// The path, as given.
        path: String,
    },

    /// The command could not be started.
    #[error("`{program}` could not be started: could not {what}: {source}")]
    #[diagnostic(code(smolvm::sandbox::start_command))]
    StartCommand {
        /// The program.
        program: String,
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// A name in the image is not UTF-8.
    #[error("the image has a file whose name is not UTF-8: {shown}")]
    #[diagnostic(
        code(smolvm::sandbox::name_not_utf8),
        help("rename or remove it in a `run:` step, or leave out the package that makes it")
    )]
    NameNotUtf8 {
        /// The path with what cannot be shown replaced.
        shown: String,
    },

    /// Reading the image's folder failed.
    #[error("the image's folder could not be read: /{path}: could not {what}: {source}")]
    #[diagnostic(code(smolvm::sandbox::harvest))]
    Harvest {
        /// Where, inside the image.
        path: String,
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },

    /// The session was cancelled.
    #[error("cancelled")]
    #[diagnostic(code(smolvm::sandbox::cancelled))]
    Cancelled,

    /// The agent is gone: something killed it, or ran out of memory.
    #[error("the sandbox ended unexpectedly while it was {doing}")]
    #[diagnostic(
        code(smolvm::sandbox::agent_gone),
        help("something killed it: look for the out-of-memory killer in `sudo dmesg`, then build again")
    )]
    AgentGone {
        /// What it had been asked.
        doing: &'static str,
    },
}

impl SandboxError {
    /// Whether the machine lacks something (exit code 3), rather than the build being at fault.
    pub fn is_host_problem(&self) -> bool {
        matches!(
            self,
            Self::NamespacesDisabled { .. }
                | Self::AppArmor { .. }
                | Self::MissingHelper { .. }
                | Self::NoSubIds { .. }
                | Self::IdMap { .. }
                | Self::NotPermitted { .. }
                | Self::Kernel { .. }
                | Self::Folder { .. }
                | Self::Setup { .. }
        )
    }
}

impl From<Failure> for SandboxError {
    fn from(failure: Failure) -> Self {
        let Failure { at, what, errno } = failure;
        let source = io::Error::from_raw_os_error(errno);
        match at {
            At::Setup => Self::Setup { what, source },
            At::Folder => Self::Files { what: format!("the scratch folder: {what}"), source },
            At::Place(path) => Self::Place { path, what, source },
            At::BadPath(path) => Self::BadPath { path },
            At::Start => Self::StartCommand { program: String::new(), what, source },
            At::Harvest(path) => Self::Harvest { path, what, source },
            At::NotUtf8(shown) => Self::NameNotUtf8 { shown },
        }
    }
}

impl Failure {
    /// For what goes wrong while a command is started.
    pub(crate) fn into_command_error(self, program: String) -> SandboxError {
        match SandboxError::from(self) {
            SandboxError::StartCommand { what, source, .. } => SandboxError::StartCommand { program, what, source },
            other => other,
        }
    }
}

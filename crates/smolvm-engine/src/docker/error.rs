//! What can go wrong with a Docker daemon: what was seen, and what to type.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use smolvm_manifest::Arch;
use thiserror::Error;

use crate::error::printed;

/// Why Docker did not build the image.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum DockerError {
    /// No daemon, no client.
    #[error("this build needs Docker, and Docker is not installed: there is no `docker` command, and no socket at {}", looked.join(", "))]
    #[diagnostic(
        code(smolvm::docker::not_installed),
        help(
            "Debian and Ubuntu: sudo apt-get install docker.io\nmacOS: brew install --cask docker, then open Docker once\n\
             A Debian or Ubuntu base needs no Docker on Linux: smolvm build --engine embedded"
        )
    )]
    NotInstalled {
        /// Where a socket was looked for.
        looked: Vec<String>,
    },
    /// A client without a daemon.
    #[error("the Docker daemon is not running: {seen}")]
    #[diagnostic(
        code(smolvm::docker::not_running),
        help(
            "Linux: sudo systemctl start docker (without systemd: sudo service docker start)\nmacOS: open -a Docker, and wait until it \
             says that it runs\nIt listens elsewhere? DOCKER_HOST=unix:///path/to/docker.sock smolvm build"
        )
    )]
    NotRunning {
        /// What was tried, and what the system said.
        seen: String,
    },
    /// A socket of somebody else's.
    #[error("you may not use the Docker daemon: permission denied on {socket}")]
    #[diagnostic(
        code(smolvm::docker::permission),
        help(
            "Linux: sudo usermod -aG docker \"$USER\", then log out and in again (or `newgrp docker` in this shell): groups count \
             from the next login\nmacOS: open -a Docker, as the user who installed it\nWho is in the group `docker` is as good as root on this machine"
        )
    )]
    Permission {
        /// The socket.
        socket: String,
    },
    /// A daemon that accepts and says nothing.
    #[error("the Docker daemon at {address} does not answer: nothing came for {seconds} s")]
    #[diagnostic(
        code(smolvm::docker::no_answer),
        help(
            "Linux: sudo systemctl restart docker\nmacOS: quit Docker and open it again\nIts log may say why: journalctl -u docker --since -10min"
        )
    )]
    NoAnswer {
        /// Where it was asked.
        address: String,
        /// How long.
        seconds: u64,
    },
    /// A daemon of long ago.
    #[error(
        "the Docker daemon at {address} is too old: it speaks version {found} of the API, and smolvm needs {needed} (Docker 20.10)"
    )]
    #[diagnostic(
        code(smolvm::docker::too_old),
        help(
            "Debian and Ubuntu: sudo apt-get update && sudo apt-get install docker.io\nmacOS: update Docker from its menu"
        )
    )]
    TooOld {
        /// Where it was asked.
        address: String,
        /// What it speaks.
        found: String,
        /// What is needed.
        needed: &'static str,
    },
    /// An address that smolvm cannot use.
    #[error("{by} says `{address}`, which smolvm cannot use")]
    #[diagnostic(
        code(smolvm::docker::address),
        help(
            "unix:///path/to/docker.sock and tcp://HOST:PORT can be used; for a remote daemon: ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST &, then DOCKER_HOST=unix:///tmp/docker.sock"
        )
    )]
    Address {
        /// The address.
        address: String,
        /// Who says so.
        by: String,
    },
    /// A context without its file.
    #[error("the Docker context `{context}` is the active one, and cannot be read")]
    #[diagnostic(
        code(smolvm::docker::context),
        help("`docker context ls` shows those that there are; `docker context use default` takes the usual one")
    )]
    Context {
        /// Its name.
        context: String,
    },
    /// A full disk of the daemon's.
    #[error("Docker has no space left{}: {message}", place(root.as_ref(), free.as_ref()))]
    #[diagnostic(code(smolvm::docker::no_space), help("{}", no_space_help(usage.as_deref(), log.as_deref())))]
    NoSpace {
        /// The daemon's words.
        message: String,
        /// The daemon's folder.
        root: Option<PathBuf>,
        /// Bytes free there, where that can be seen from here.
        free: Option<u64>,
        /// What `docker system df` says.
        usage: Option<String>,
        /// Where the log of the build is.
        log: Option<PathBuf>,
    },
    /// An image that nobody has.
    #[error("the Docker image `{reference}` was not found, neither on this machine nor in its registry")]
    #[diagnostic(code(smolvm::docker::base_not_found), help("check its name and tag: docker pull {reference}"))]
    BaseNotFound {
        /// The image.
        reference: String,
    },
    /// An image that the registry does not give.
    #[error("the registry does not let the Docker image `{reference}` be pulled: {message}")]
    #[diagnostic(
        code(smolvm::docker::pull_denied),
        help(
            "it does not exist, it is private, or too much was pulled without an account: docker login, then docker pull {reference}; \
             smolvm uses what is on the machine"
        )
    )]
    PullDenied {
        /// The image.
        reference: String,
        /// The daemon's words.
        message: String,
    },
    /// A registry that does not answer.
    #[error("the registry of the Docker image `{reference}` cannot be reached: {message}")]
    #[diagnostic(
        code(smolvm::docker::registry_unreachable),
        help(
            "check the network and Docker's proxy settings, then: docker pull {reference}\nWithout a network: docker save {reference} | gzip > image.tar.gz \
             elsewhere, and docker load < image.tar.gz here"
        )
    )]
    RegistryUnreachable {
        /// The image.
        reference: String,
        /// The daemon's words.
        message: String,
    },
    /// An image of another kind of machine.
    #[error("the Docker image `{reference}` is for {found}, and this build is for linux/{wanted}")]
    #[diagnostic(
        code(smolvm::docker::platform),
        help("docker pull --platform linux/{wanted} {reference}; or set `arch` in the Smolfile")
    )]
    Platform {
        /// The image.
        reference: String,
        /// Its platform.
        found: String,
        /// The architecture of the build.
        wanted: Arch,
    },
    /// The image that the lock names is not this one.
    #[error("the Docker image `{reference}` is another one than the lock names: {found} instead of {wanted}")]
    #[diagnostic(
        code(smolvm::docker::base_moved),
        help("load the image that the lock names, or delete the lock: the next build writes a new one")
    )]
    Moved {
        /// The image.
        reference: String,
        /// The digest in the lock.
        wanted: String,
        /// The digest of what is here.
        found: String,
    },
    /// A base in which nothing can be run.
    #[error("the Docker image `{reference}` has no /bin/sh, and smolvm's init is a shell script")]
    #[diagnostic(
        code(smolvm::docker::no_shell),
        help(
            "start from an image with a shell, such as `debian:bookworm-slim` or `alpine`, and copy the program into it with `files`"
        )
    )]
    NoShell {
        /// The image.
        reference: String,
    },
    /// Packages for a base that cannot install any.
    #[error("{what} needs a package, and the Docker image `{reference}` has neither apt-get nor apk")]
    #[diagnostic(
        code(smolvm::docker::no_package_manager),
        help("start from an image of Debian, Ubuntu or Alpine, or leave `packages` out and say `ssh: false`")
    )]
    NoPackageManager {
        /// The image.
        reference: String,
        /// `packages` or `ssh`.
        what: &'static str,
    },
    /// Something that this daemon cannot do.
    #[error("run[{step}].{key} asks for something that this Docker cannot do: {why}")]
    #[diagnostic(code(smolvm::docker::unsupported), help("{way_out}"))]
    Unsupported {
        /// Which run step.
        step: usize,
        /// Which key of it.
        key: &'static str,
        /// Why.
        why: String,
        /// What to do instead.
        way_out: String,
    },
    /// A step of the Dockerfile.
    #[error("Docker failed at the step\n  {step}\n{message}\n{}", printed(output))]
    #[diagnostic(code(smolvm::docker::step_failed), help("the whole log is in {}; `smolvm render` shows every step", log.display()))]
    StepFailed {
        /// The step, as Docker writes it.
        step: String,
        /// The daemon's words.
        message: String,
        /// The end of its output, secrets blotted out.
        output: String,
        /// Where the whole log is.
        log: PathBuf,
    },
    /// A build that came to a stop.
    #[error("Docker said nothing for {minutes} min while it was at\n  {step}")]
    #[diagnostic(code(smolvm::docker::idle), help("something in the step waits for ever: an answer, perhaps, or a network; the log so far is in {}", log.display()))]
    Idle {
        /// How long.
        minutes: u64,
        /// The step.
        step: String,
        /// Where the log is.
        log: PathBuf,
    },
    /// The daemon's own failure.
    #[error("{doing} failed: {message}")]
    #[diagnostic(
        code(smolvm::docker::daemon),
        help("`docker info` and the daemon's log (journalctl -u docker) may say more")
    )]
    Daemon {
        /// What was asked.
        doing: String,
        /// The daemon's words, and the causes under them.
        message: String,
    },
    /// What the daemon sent could not be kept.
    #[error("{doing} failed: {error}")]
    #[diagnostic(code(smolvm::docker::io), help("check that the store's disk has room and can be written"))]
    Io {
        /// What.
        doing: String,
        /// Why.
        error: std::io::Error,
    },
}

/// Whose business a failure with Docker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerFault {
    /// The build's.
    Build,
    /// The Smolfile's or the lock's.
    Input,
    /// The machine's.
    Host,
}

impl DockerError {
    /// Whose business it is.
    pub fn fault(&self) -> DockerFault {
        match self {
            Self::BaseNotFound { .. }
            | Self::PullDenied { .. }
            | Self::Platform { .. }
            | Self::Moved { .. }
            | Self::NoShell { .. }
            | Self::NoPackageManager { .. } => DockerFault::Input,
            Self::StepFailed { .. } | Self::Idle { .. } | Self::RegistryUnreachable { .. } | Self::Daemon { .. } => {
                DockerFault::Build
            }
            _ => DockerFault::Host,
        }
    }

    /// The part of the Smolfile that this is about, as a JSON pointer.
    pub(crate) fn pointer(&self) -> Option<String> {
        match self {
            Self::Unsupported { step, key, .. } => Some(format!("/run/{step}/{key}")),
            Self::NoPackageManager { what, .. } => Some(format!("/{what}")),
            Self::NoShell { .. } | Self::BaseNotFound { .. } | Self::PullDenied { .. } | Self::Platform { .. } => {
                Some("/base".to_owned())
            }
            _ => None,
        }
    }

    /// A failed request, which bollard tells in its own words and the reasons only in the causes.
    pub(super) fn of(doing: &str, error: &bollard::errors::Error) -> Self {
        let message = chain(error);
        if is_no_space(&message) {
            return Self::NoSpace { message, root: None, free: None, usage: None, log: None };
        }
        Self::Daemon { doing: doing.to_owned(), message }
    }
}

/// Whether the daemon's words mean a full disk: it has no other way to say so.
pub(super) fn is_no_space(message: &str) -> bool {
    ["no space left on device", "No space left on device", "disk quota exceeded", "ENOSPC"]
        .iter()
        .any(|words| message.contains(words))
}

/// An error's message with those of its causes that it does not repeat.
pub(super) fn chain(error: &bollard::errors::Error) -> String {
    let mut message = match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        error => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let text = deeper.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = deeper.source();
    }
    message
}

/// The system's own reason at the end of the chain.
pub(super) fn system_reason(error: &bollard::errors::Error) -> Option<std::io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(deeper) = cause {
        if let Some(error) = deeper.downcast_ref::<std::io::Error>() {
            found = Some(error.kind());
        }
        cause = deeper.source();
    }
    found
}

fn place(root: Option<&PathBuf>, free: Option<&u64>) -> String {
    let root = root.map(|root| format!(" in {}", root.display())).unwrap_or_default();
    let free = free.map(|free| format!(" ({} MiB free)", free >> 20)).unwrap_or_default();
    format!("{root}{free}")
}

fn no_space_help(usage: Option<&str>, log: Option<&Path>) -> String {
    let usage = usage.map(|usage| format!("docker system df says: {usage}\n")).unwrap_or_default();
    let log = log.map(|log| format!("\nthe whole log is in {}", log.display())).unwrap_or_default();
    format!(
        "{usage}free some: docker builder prune (the build cache), docker image prune (images without a name), smolvm image prune (what killed \
         builds left)\nmacOS: Docker's Settings, Resources, has the size of its disk{log}"
    )
}

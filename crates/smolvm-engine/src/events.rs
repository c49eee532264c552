//! What a build says while it works. Whoever calls decides whether and how to show it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smolvm_fetch::FetchEvent;
use smolvm_manifest::Warning;

/// The stages of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reading and validating the Smolfile.
    Load,
    /// Reading package indexes and choosing packages; skipped when the lock answers.
    Resolve,
    /// Downloading packages, which are unpacked as they arrive.
    Fetch,
    /// Placing packages, as soon as they are unpacked, and running their maintainer scripts.
    Install,
    /// Running the Smolfile's run steps.
    Run,
    /// A Docker daemon's build.
    Docker,
    /// Reading what Docker built.
    Export,
    /// Taking the kernel from its package and building the initrd.
    Kernel,
    /// Writing the root file system.
    Write,
    /// Putting the image into the store.
    Commit,
}

impl Stage {
    /// A verb for progress lines: `resolving packages`.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Load => "reading the Smolfile",
            Self::Resolve => "resolving packages",
            Self::Fetch => "fetching packages",
            Self::Install => "installing packages",
            Self::Run => "running steps",
            Self::Docker => "building with Docker",
            Self::Export => "reading what Docker built",
            Self::Kernel => "preparing the kernel",
            Self::Write => "writing the root file system",
            Self::Commit => "storing the image",
        }
    }

    /// A word for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Resolve => "resolve",
            Self::Fetch => "fetch",
            Self::Install => "install",
            Self::Run => "run",
            Self::Docker => "docker",
            Self::Export => "export",
            Self::Kernel => "kernel",
            Self::Write => "write",
            Self::Commit => "commit",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stage began. Stages may overlap.
    StageStarted(Stage),
    /// A stage ended well.
    StageFinished(Stage, Duration),
    /// How much of a stage is done, in its own unit (packages, steps).
    StageProgress {
        /// The stage.
        stage: Stage,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is being worked on: a package's name, a command.
        item: String,
    },
    /// Something about a download.
    Fetch(FetchEvent),
    /// A line that a maintainer script or run step printed.
    Output {
        /// Who printed it: `dpkg` for maintainer scripts, `run[2]` for a run step.
        source: String,
        /// The line, without its end.
        line: String,
    },
    /// Something the user should know that stops nothing.
    Warning(Warning),
    /// A choice that smolvm made and that the user may want to know: `kernel: auto` became `distro`.
    Note(String),
}

/// Where events go. Cheap to clone; called from several threads.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends events to a function, which must not block for long.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every event.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Does the work of a stage, and says when it begins and, if it went well, how long it took.
    pub fn stage<T, E>(&self, stage: Stage, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let started = Instant::now();
        self.send(Event::StageStarted(stage));
        let done = work()?;
        self.send(Event::StageFinished(stage, started.elapsed()));
        Ok(done)
    }

    /// The same for work that waits.
    pub async fn stage_async<T, E>(&self, stage: Stage, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let started = Instant::now();
        self.send(Event::StageStarted(stage));
        let done = work.await?;
        self.send(Event::StageFinished(stage, started.elapsed()));
        Ok(done)
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

//! Which engine builds.

use std::fmt;
use std::time::Duration;

use smolvm_engine::{Built, DockerEngine, DockerError, DockerPlaces, EmbeddedEngine, Engine as _, EngineError, Job};
use smolvm_manifest::{Base, Manifest};
use smolvm_store::Store;

use crate::unsupported::needs_docker;
use crate::{BuildError, BuildOptions, EngineChoice, Event, FailureClass, memory};

/// The engine of a build. The two make different bytes, so it is part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// smolvm itself, in a sandbox.
    Embedded,
    /// A Docker daemon.
    Docker,
}

impl EngineKind {
    /// Its part of the build key.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Docker => "docker",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The engine that a manifest and the user's choice ask for. Nothing is tried yet: an image that is in the store needs none.
pub(crate) fn engine_of(manifest: &Manifest, choice: EngineChoice) -> EngineKind {
    match choice {
        EngineChoice::Docker => EngineKind::Docker,
        EngineChoice::Auto if needs_docker(&manifest.base).is_some() => EngineKind::Docker,
        EngineChoice::Auto | EngineChoice::Embedded => EngineKind::Embedded,
    }
}

/// The Docker image that the Docker engine starts from.
pub(crate) fn reference(manifest: &Manifest) -> &str {
    match &manifest.base {
        Base::Distro(distro) => distro.name(),
        Base::Image(reference) => reference,
    }
}

/// Where a daemon may be, and how long it may take to answer: less than a mirror, which is far away.
fn places(options: &BuildOptions) -> DockerPlaces {
    const LONGEST: Duration = Duration::from_secs(15);
    DockerPlaces { answer: Some(options.timeouts.answer.min(LONGEST)), ..options.host.docker_places() }
}

/// Connects to the Docker daemon of this machine, for an image of this name.
pub(crate) async fn docker(options: &BuildOptions, name: &str) -> Result<DockerEngine, DockerError> {
    let log = options.image_dir.join(Store::LOGS).join(format!("{name}.log"));
    Box::pin(DockerEngine::connect(&places(options), log)).await
}

/// Whether the choice was smolvm's, and this machine cannot run the embedded engine: then Docker may.
pub(crate) fn falls_back(kind: EngineKind, choice: EngineChoice, error: &BuildError) -> bool {
    kind == EngineKind::Embedded
        && choice == EngineChoice::Auto
        && error.class() == FailureClass::Host
        && smolvm_sandbox::check_host().is_err()
}

/// Builds in memory, and on the disk where that does not suffice.
async fn embedded(job: Job, options: &BuildOptions) -> Result<Built, EngineError> {
    let Some(memory) = memory::mount(&job, options) else { return EmbeddedEngine.build(job).await };
    let in_memory = Job { scratch: job.scratch.clone().in_memory(memory.clone()), ..job.clone() };
    match EmbeddedEngine.build(in_memory).await {
        Err(error) if memory::was_full(&memory, &error) => {
            drop(memory);
            job.events.send(Event::Note("the image outgrew the memory for builds: once more, on the disk".to_owned()));
            EmbeddedEngine.build(job).await
        }
        outcome => outcome,
    }
}

/// Has the engine build the tree.
pub(crate) async fn run(kind: EngineKind, job: Job, options: &BuildOptions) -> Result<Built, EngineError> {
    match kind {
        EngineKind::Embedded => embedded(job, options).await,
        EngineKind::Docker => {
            let docker = docker(options, &job.locked.manifest.name).await?;
            Box::pin(docker.build(job)).await
        }
    }
}

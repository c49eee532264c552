//! Why a build failed, and whose business that is.

use miette::Diagnostic;
use smolvm_engine::{DockerError, DockerFault, EngineError};
use smolvm_fetch::{FetchError, IndexError};
use smolvm_manifest::Manifest;
use smolvm_packages::deb::install::InstallError;
use smolvm_packages::deb::unpack::{UnpackError, UnpackProblem};
use smolvm_rootfs::Ext4Error;
use smolvm_sandbox::SandboxError;
use smolvm_store::StoreError;
use thiserror::Error;

/// Whose business a failure is; the command line makes it an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The build failed: a script, a step, a mirror, a damaged package.
    Build,
    /// The input is wrong: manifest, lock, or the folder of the store.
    Input,
    /// The host lacks something: user namespaces, space, a right clock.
    Host,
}

/// Why a build failed.
#[derive(Debug)]
pub struct BuildError {
    class: FailureClass,
    diagnostic: Box<dyn Diagnostic + Send + Sync>,
}

impl BuildError {
    /// A failure of this class with its report.
    pub fn new(class: FailureClass, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { class, diagnostic: Box::new(diagnostic) }
    }

    /// A failure of the build itself.
    pub(crate) fn build(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self::new(FailureClass::Build, diagnostic)
    }

    /// A failure of the input.
    pub(crate) fn input(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self::new(FailureClass::Input, diagnostic)
    }

    /// A failure of the host.
    pub(crate) fn host(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self::new(FailureClass::Host, diagnostic)
    }

    /// A task of ours that did not come to its end.
    pub(crate) fn panicked(error: tokio::task::JoinError) -> Self {
        Self::build(Defect { error })
    }

    /// Whose business it is.
    pub fn class(&self) -> FailureClass {
        self.class
    }

    /// The report: message, code, help, source, labels.
    pub fn diagnostic(&self) -> &(dyn Diagnostic + Send + Sync + 'static) {
        &*self.diagnostic
    }

    /// The report, owned.
    pub fn into_diagnostic(self) -> Box<dyn Diagnostic + Send + Sync> {
        self.diagnostic
    }
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.diagnostic.source()
    }
}

/// A failure without a better place: an input or output error of the machine.
#[derive(Debug, Error, Diagnostic)]
#[error("{doing} failed: {error}")]
#[diagnostic(code(smolvm::build::io))]
pub(crate) struct IoFailure {
    pub(crate) doing: String,
    pub(crate) error: std::io::Error,
    #[help]
    pub(crate) help: Option<String>,
}

/// A part of smolvm ended in a panic.
#[derive(Debug, Error, Diagnostic)]
#[error("smolvm itself failed: {error}")]
#[diagnostic(
    code(smolvm::build::defect),
    help("this is a defect of smolvm; nothing was stored. Please report it with the Smolfile")
)]
struct Defect {
    error: tokio::task::JoinError,
}

impl From<FetchError> for BuildError {
    fn from(error: FetchError) -> Self {
        Self::new(class_of_fetch(&error), error)
    }
}

impl From<DockerError> for BuildError {
    fn from(error: DockerError) -> Self {
        Self::new(class_of_docker(&error), error)
    }
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::new(class_of_store(&error), error)
    }
}

impl From<EngineError> for BuildError {
    fn from(error: EngineError) -> Self {
        Self::new(class_of(&error), error)
    }
}

impl BuildError {
    /// A root file system that could not be written: too small a size is the Smolfile's business, the rest the host's.
    pub(crate) fn of_ext4(error: Ext4Error, manifest: &Manifest) -> Self {
        match error {
            Ext4Error::TooSmall { .. } => {
                let help = error.help().map(|help| help.to_string());
                Self::input(manifest.document.error("/size", error.to_string(), help, "smolvm::build::size_too_small"))
            }
            error => Self::host(error),
        }
    }
}

impl<E: Diagnostic + Send + Sync + 'static> From<IndexError<E>> for BuildError {
    fn from(error: IndexError<E>) -> Self {
        match error {
            IndexError::Fetch(error) => error.into(),
            refused @ IndexError::Refused { .. } => Self::build(refused),
        }
    }
}

impl From<UnpackError> for BuildError {
    fn from(error: UnpackError) -> Self {
        Self::new(class_of_unpack(&error), error)
    }
}

/// Whose business an engine's failure is.
pub(crate) fn class_of(error: &EngineError) -> FailureClass {
    match error {
        EngineError::Fetch(error) => class_of_fetch(error),
        EngineError::Unpack(error) | EngineError::Install(InstallError::Unpack(error)) => class_of_unpack(error),
        EngineError::Sandbox(error) | EngineError::Install(InstallError::Sandbox(error)) => class_of_sandbox(error),
        EngineError::Edit(_) | EngineError::Account(_) | EngineError::Wanted(_) => FailureClass::Input,
        EngineError::Docker(error) => class_of_docker(error),
        EngineError::Store(error) => class_of_store(error),
        EngineError::Scratch(_) | EngineError::Install(InstallError::Write { .. }) => FailureClass::Host,
        _ => FailureClass::Build,
    }
}

fn class_of_store(error: &StoreError) -> FailureClass {
    if error.is_input_fault() { FailureClass::Input } else { host_if(error.is_host_fault()) }
}

fn class_of_docker(error: &DockerError) -> FailureClass {
    match error.fault() {
        DockerFault::Build => FailureClass::Build,
        DockerFault::Input => FailureClass::Input,
        DockerFault::Host => FailureClass::Host,
    }
}

fn class_of_fetch(error: &FetchError) -> FailureClass {
    host_if(error.is_host_fault())
}

fn class_of_unpack(error: &UnpackError) -> FailureClass {
    host_if(matches!(error.problem, UnpackProblem::Write { .. }))
}

/// What the machine lacks is the host's business, and so is the scratch folder and what killed the sandbox; what a package
/// or step made of the image is not.
fn class_of_sandbox(error: &SandboxError) -> FailureClass {
    host_if(error.is_host_problem() || matches!(error, SandboxError::Files { .. } | SandboxError::AgentGone { .. }))
}

fn host_if(is_host: bool) -> FailureClass {
    if is_host { FailureClass::Host } else { FailureClass::Build }
}

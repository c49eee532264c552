//! What a command ends with where it does not end well.

use std::fmt;
use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use smolvm_build::BuildError;
use thiserror::Error;

use crate::exit::Exit;

/// An exit code with the report that explains it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) diagnostic: Box<dyn Diagnostic + Send + Sync>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { exit, diagnostic: Box::new(diagnostic) }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self { exit: error.class().into(), diagnostic: error.into_diagnostic() }
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self::new(error.exit(), error)
    }
}

/// The mistakes that only the command line knows of.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum CliError {
    /// `init` never overwrites.
    #[error("{} exists already", path.display())]
    #[diagnostic(
        code(smolvm::cli::exists),
        help("give another name with `--file NAME`, or remove the file first; it was left as it is")
    )]
    Exists { path: PathBuf },

    /// A file that a command was told to write.
    #[error("{} could not be written: {error}", path.display())]
    #[diagnostic(code(smolvm::cli::write), help("check that the folder exists, is yours, and has space left"))]
    Write { path: PathBuf, error: io::Error },

    /// The result could not be printed.
    #[error("the result could not be printed: {error}")]
    #[diagnostic(code(smolvm::cli::stdout), help("check where stdout goes: a full disk, perhaps"))]
    Stdout { error: io::Error },

    /// Threads or signal handlers that the system refuses.
    #[error("the system refuses {what}: {error}")]
    #[diagnostic(code(smolvm::cli::system), help("check the limits of this shell with `ulimit -a`"))]
    System { what: &'static str, error: io::Error },

    /// Ctrl-C, or SIGTERM.
    #[error("interrupted by {signal}")]
    #[diagnostic(
        code(smolvm::cli::interrupted),
        help("nothing half made was left behind; finished downloads are kept for the next build")
    )]
    Interrupted { signal: Signal },
}

impl CliError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Exists { .. } => Exit::Input,
            Self::Write { .. } | Self::Stdout { .. } | Self::System { .. } => Exit::Host,
            Self::Interrupted { .. } => Exit::Interrupted,
        }
    }
}

/// A signal that asks smolvm to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
        })
    }
}

//! What can go wrong while packages are installed.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use smolvm_sandbox::SandboxError;
use thiserror::Error;

use crate::deb::place::PlaceError;
use crate::deb::unpack::UnpackError;

/// Why packages could not be installed.
#[derive(Debug, Error, Diagnostic)]
pub enum InstallError {
    /// A package could not be unpacked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unpack(#[from] UnpackError),

    /// A package cannot be placed beside the others.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Place(#[from] PlaceError),

    /// The sandbox failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sandbox(#[from] SandboxError),

    /// A maintainer script failed.
    #[error("the {script} script of the package {package} failed: {status}{}", shown(.output))]
    #[diagnostic(
        code(smolvm::deb::script),
        help(
            "the script sees only the image, and has no network; if the package cannot be installed like that, leave it \
             out and install it in a `run:` step"
        )
    )]
    Script {
        /// Whose.
        package: String,
        /// Which: `preinst`, `postinst`.
        script: String,
        /// How it ended.
        status: String,
        /// The last that it wrote.
        output: String,
    },

    /// dpkg refused to configure a package.
    #[error("dpkg cannot configure the package {package}: {reason}{}", shown(.output))]
    #[diagnostic(
        code(smolvm::deb::configure),
        help("the package does not fit to the others; take another version of it, or leave it out")
    )]
    Refused {
        /// The package.
        package: String,
        /// Why, in dpkg's words.
        reason: String,
        /// The last that it wrote.
        output: String,
    },

    /// dpkg itself failed.
    #[error("dpkg failed: {status}{}", shown(.output))]
    #[diagnostic(
        code(smolvm::deb::dpkg),
        help("the image's own dpkg does not work: check the repositories that its packages come from")
    )]
    Dpkg {
        /// How it ended.
        status: String,
        /// The last that it wrote.
        output: String,
    },

    /// dpkg reported success, and yet there are packages left.
    #[error("dpkg did not finish these packages: {}", packages.join(", "))]
    #[diagnostic(
        code(smolvm::deb::unconfigured),
        help("one of their scripts may have changed dpkg's database: leave these packages out, one at a time")
    )]
    Unconfigured {
        /// The packages.
        packages: Vec<String>,
    },

    /// A planned package never came.
    #[error("the package {package} was planned, and never unpacked")]
    #[diagnostic(code(smolvm::deb::missing_package), help("build again; if it happens again, report it"))]
    Missing {
        /// The package.
        package: String,
    },

    /// The scratch folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    #[diagnostic(code(smolvm::deb::write), help("check the space left on the store's disk: `df -h ~/.smolvm`"))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Output, set off from the sentence before it.
fn shown(output: &str) -> String {
    let mut text = String::new();
    for line in output.lines() {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

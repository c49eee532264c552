use std::io;

use miette::Diagnostic;
use thiserror::Error;

use super::size::MIB;

/// Why no ext4 image came out.
#[derive(Debug, Error, Diagnostic)]
pub enum Ext4Error {
    /// The tree does not fit.
    #[error("the root file system does not fit into {}: it needs at least {}", mebibytes(*asked), mebibytes(*needed))]
    #[diagnostic(
        code(smolvm::rootfs::too_small),
        help("set `size: {}` or more (that leaves hardly any free space), or `size: auto`", mebibytes(*needed))
    )]
    TooSmall {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes with which it fits.
        needed: u64,
    },
    /// Something in the tree that ext4 cannot hold.
    #[error("`/{path}` cannot be stored in ext4: {reason}")]
    #[diagnostic(code(smolvm::rootfs::ext4_entry))]
    Entry {
        /// Path in the image.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file's bytes could not be read.
    #[error("cannot read the content of `/{path}`")]
    #[diagnostic(code(smolvm::rootfs::content))]
    Content {
        /// Path in the image.
        path: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The image could not be written.
    #[error("cannot write the root file system image")]
    #[diagnostic(code(smolvm::rootfs::write), help("check that the disk has free space"))]
    Write(#[source] io::Error),
    /// Somebody asked for it.
    #[error("the root file system image was not finished: somebody asked to stop")]
    #[diagnostic(code(smolvm::rootfs::stopped))]
    Stopped,
    /// Options that no ext4 file system can have.
    #[error("no such ext4 file system can be made: {reason}")]
    #[diagnostic(code(smolvm::rootfs::ext4_options))]
    Options {
        /// Why.
        reason: String,
    },
}

impl Ext4Error {
    pub(super) fn from_mkext4(error: mkext4::Error) -> Self {
        match error {
            mkext4::Error::Io(source) => Self::Write(source),
            other => Self::Options { reason: other.to_string() },
        }
    }
}

/// As a Smolfile spells it.
fn mebibytes(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(MIB))
}

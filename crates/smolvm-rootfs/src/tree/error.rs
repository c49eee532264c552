//! What an edit of a tree can be refused for.

use std::io;
use std::path::Path;

use miette::Diagnostic;
use thiserror::Error;

/// Why a tree refused a path.
#[derive(Debug, Error, Diagnostic)]
pub enum TreeError {
    /// The path cannot name anything in the tree.
    #[error("`{path}` cannot be a path in the image: {reason}")]
    #[diagnostic(code(smolvm::rootfs::path))]
    Path {
        /// As given.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// Nothing has this path.
    #[error("`/{path}` does not exist in the image")]
    #[diagnostic(code(smolvm::rootfs::not_found))]
    NotFound {
        /// The first part of the path that is missing.
        path: String,
    },
    /// A folder is needed, and something else is there.
    #[error("`/{path}` in the image is not a folder")]
    #[diagnostic(code(smolvm::rootfs::not_a_folder))]
    NotDirectory {
        /// Where.
        path: String,
    },
    /// Something else is needed, and a folder is there.
    #[error("`/{path}` in the image is a folder")]
    #[diagnostic(code(smolvm::rootfs::is_a_folder), help("choose another path, or remove the folder first"))]
    IsDirectory {
        /// Where.
        path: String,
    },
    /// Symbolic links that lead round in a circle.
    #[error("following the symbolic links of `/{path}` in the image never ends")]
    #[diagnostic(code(smolvm::rootfs::link_loop))]
    LinkLoop {
        /// Where it began.
        path: String,
    },
    /// A name that is not UTF-8, for those who make trees out of file systems and archives.
    #[error("the name `{shown}` is not UTF-8, and names in an image must be")]
    #[diagnostic(code(smolvm::rootfs::name_not_utf8), help("rename the file, or leave it out of the image"))]
    NotUtf8 {
        /// The name with its undecodable bytes replaced.
        shown: String,
    },
    /// A listing that was read back from disk or from another process contradicts itself.
    #[error("the listing of the tree is damaged: {reason}")]
    #[diagnostic(code(smolvm::rootfs::listing_damaged))]
    Damaged {
        /// How.
        reason: &'static str,
    },
}

impl From<TreeError> for io::Error {
    fn from(error: TreeError) -> Self {
        let kind = match &error {
            TreeError::NotFound { .. } => io::ErrorKind::NotFound,
            TreeError::NotDirectory { .. } => io::ErrorKind::NotADirectory,
            TreeError::IsDirectory { .. } => io::ErrorKind::IsADirectory,
            TreeError::LinkLoop { .. } | TreeError::Path { .. } => io::ErrorKind::InvalidInput,
            TreeError::NotUtf8 { .. } | TreeError::Damaged { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The error for content that is no longer what the tree recorded.
pub(crate) fn size_changed(path: &Path, recorded: u64, found: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "`{}` changed while it was being read: {recorded} bytes were recorded, {found} were found",
            path.display()
        ),
    )
}

//! What the outside world must answer for a Smolfile to mean something.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::{Arch, LocalSource};

/// The world around a Smolfile: the real one for a build, one in memory for tests.
pub trait Surroundings {
    /// A file's bytes: keys, passwords, keyrings. The path is absolute, or relative to the Smolfile's folder.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What lies at a `source`, walked and digested. Refuses what is not inside the Smolfile's folder.
    fn local_source(&self, path: &Path) -> Result<LocalSource, LocalSourceError>;

    /// An environment variable.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// The home folder, which `~` stands for.
    fn home(&self) -> Option<PathBuf>;

    /// The name of the folder that holds the Smolfile.
    fn folder_name(&self) -> Option<String>;

    /// The architecture of this machine, if an image can have it.
    fn host_arch(&self) -> Option<Arch>;
}

/// Why a `source` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalSourceError {
    /// Nothing is there.
    #[error("there is no such file or folder")]
    Missing,
    /// It is, or leads, outside the Smolfile's folder.
    #[error("it leads out of the Smolfile's folder")]
    Outside,
    /// Something below it cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable {
        /// The path, as people know it.
        path: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// Something below it is neither file, folder nor symbolic link.
    #[error("`{path}` is a {kind}, and only files, folders and symbolic links can be copied")]
    Unsupported {
        /// The path, as people know it.
        path: String,
        /// What it is: `socket`, `device` ….
        kind: &'static str,
    },
    /// All of it is to be ignored.
    #[error("line {line} of `{file}` leaves it out")]
    Ignored {
        /// The file that says so.
        file: &'static str,
        /// Where, from 1 on.
        line: usize,
    },
    /// The file that says what to ignore is not one.
    #[error("line {line} of `{file}` is no pattern: {reason}")]
    IgnoreFile {
        /// The file.
        file: &'static str,
        /// Where, from 1 on.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A name below it is not UTF-8.
    #[error("the name `{path}` is not UTF-8")]
    Name {
        /// The path with the odd bytes replaced.
        path: String,
    },
}

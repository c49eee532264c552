//! A store without space, whoever noticed it.

use miette::Diagnostic;
use smolvm_store::Store;
use thiserror::Error;

use crate::{BuildError, FailureClass};

/// A failure as it is, or as what it means where the store's disk is full: its packages are unpacked there, its scripts write
/// there, and each tells of it in another way. To be asked while the build's scratch folder is still there.
pub(crate) fn recognised(error: BuildError, store: &Store) -> BuildError {
    /// How the library of Rust writes ENOSPC and EDQUOT: an error of our own code.
    const OURS: [&str; 2] = ["(os error 28)", "(os error 122)"];
    /// How programs in the image do. They may mean a small file system of the sandbox's, so the disk has to be looked at.
    const THEIRS: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
    let message = whole_message(&error);
    let says = |words: [&str; 2]| words.iter().any(|words| message.contains(words));
    if says(OURS) || (says(THEIRS) && is_nearly_full(store)) {
        let store = store.root().display().to_string();
        return BuildError::new(FailureClass::Host, StoreFull { store, message });
    }
    error
}

/// The message and those of its causes that it does not repeat.
fn whole_message(error: &BuildError) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        let text = deeper.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = deeper.source();
    }
    message
}

/// A program that found no space may have removed what it wrote.
fn is_nearly_full(store: &Store) -> bool {
    const LITTLE: u64 = 64 << 20;
    const FEW_FILES: u64 = 1024;
    let Ok(disk) = rustix::fs::statvfs(store.root()) else { return false };
    // A file system without a limit on files says that there are none at all.
    disk.f_bavail.saturating_mul(disk.f_frsize) < LITTLE || (disk.f_files > 0 && disk.f_favail < FEW_FILES)
}

#[derive(Debug, Error, Diagnostic)]
#[error("no space left on the disk of the image store {store}: {message}")]
#[diagnostic(
    code(smolvm::build::disk_full),
    help(
        "a build unpacks the whole image there before it writes it: make room (`smolvm image ls`, `smolvm image rm NAME`), or \
         choose another disk with --image-dir"
    )
)]
struct StoreFull {
    store: String,
    message: String,
}

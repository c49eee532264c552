//! Files of the Smolfile: text, or what lies beside it.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use smolvm_manifest::{LocalEntry, LocalKind, LocalSource, Manifest};
use smolvm_render::{Content as StepContent, FileStep};
use smolvm_rootfs::{Content, Inode, Kind, RootTree, TreeError};
use thiserror::Error;

use super::Editor;

/// Why a file could not be placed.
#[derive(Debug, Error, Diagnostic)]
pub enum FileError {
    /// A source that is not what was digested when the Smolfile was read.
    #[error("`{path}` changed while the image was being built")]
    #[diagnostic(code(smolvm::engine::source_changed), help("build again when nothing writes to it"))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A source that cannot be read.
    #[error("cannot read `{path}`: {error}")]
    #[diagnostic(code(smolvm::engine::source_unreadable))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A copy that cannot be written.
    #[error(transparent)]
    #[diagnostic(code(smolvm::engine::staging))]
    Staging(std::io::Error),
    /// A file where the image has a folder.
    #[error("`{target}` is to be a file, but the image has a folder there")]
    #[diagnostic(code(smolvm::engine::target_is_folder), help("name the file itself: `{target}/NAME`"))]
    TargetIsFolder {
        /// The target.
        target: String,
    },
    /// The tree refused a path.
    #[error("cannot place `{target}`: {error}")]
    #[diagnostic(code(smolvm::engine::target))]
    Target {
        /// The target.
        target: String,
        /// Why.
        #[source]
        error: TreeError,
    },
}

impl FileError {
    /// The part of the Smolfile that this is about, as a JSON pointer.
    pub(crate) fn pointer(&self, manifest: &Manifest) -> Option<String> {
        let (Self::TargetIsFolder { target } | Self::Target { target, .. }) = self else { return None };
        let index = manifest.files.iter().position(|entry| entry.target == *target)?;
        Some(format!("/files/{index}/target"))
    }
}

impl Editor {
    /// Places a file, or a folder with all that is in it. Tells the paths that it placed.
    pub(super) fn place_file(
        &mut self,
        tree: &mut RootTree,
        file: &FileStep,
        (uid, gid): (u32, u32),
    ) -> Result<Vec<String>, FileError> {
        let epoch = self.epoch;
        let failed = |error| match error {
            TreeError::IsDirectory { .. } => FileError::TargetIsFolder { target: file.target.clone() },
            error => FileError::Target { target: file.target.clone(), error },
        };
        let target = tree.place(&file.target).map_err(failed)?;
        tree.create_parents(&target, epoch).map_err(failed)?;
        if let (Some(mode), Some((parent, _))) = (file.parent_mode, target.rsplit_once('/')) {
            tree.insert(parent, Inode::new(Kind::Directory, mode, uid, gid, epoch)).map_err(failed)?;
        }
        let nodes = match &file.content {
            StepContent::Bytes(bytes) => {
                let content = Content::bytes(bytes.as_slice());
                vec![(target, Kind::File(content), file.mode.unwrap_or(0o644))]
            }
            StepContent::Local(source) => source
                .entries
                .iter()
                .map(|entry| {
                    let (kind, mode) = self.local(source, entry, file.mode)?;
                    Ok((join(&target, &entry.path), kind, mode))
                })
                .collect::<Result<_, FileError>>()?,
        };
        let mut placed = Vec::new();
        for (path, kind, mode) in nodes {
            if matches!(kind, Kind::Directory) && tree.get(&path).is_some_and(Inode::is_directory) {
                continue;
            }
            tree.insert(&path, Inode::new(kind, mode, uid, gid, epoch)).map_err(failed)?;
            placed.push(path);
        }
        Ok(placed)
    }

    /// What a local entry becomes, and its mode: a checkout's umask must not decide it, so only the executable bit is taken over.
    fn local(&mut self, source: &LocalSource, entry: &LocalEntry, mode: Option<u32>) -> Result<(Kind, u32), FileError> {
        Ok(match &entry.kind {
            LocalKind::Directory => (Kind::Directory, 0o755),
            LocalKind::Symlink { target } => (Kind::Symlink(target.clone()), 0o777),
            LocalKind::File { blake3, executable, .. } => {
                let path = if entry.path.is_empty() { source.root.clone() } else { source.root.join(&entry.path) };
                let content = self.stage(&path, blake3)?;
                let usual = if *executable { 0o755 } else { 0o644 };
                (Kind::File(content), mode.filter(|_| source.entries.len() == 1).unwrap_or(usual))
            }
        })
    }

    /// Copies a file to the work folder and compares it with the digest that went into the key.
    fn stage(&mut self, path: &Path, blake3: &str) -> Result<Content, FileError> {
        let unreadable = |error| FileError::Unreadable { path: path.to_owned(), error };
        self.staged += 1;
        fs_err::create_dir_all(&self.staging).map_err(FileError::Staging)?;
        let copy = self.staging.join(self.staged.to_string());
        let mut from = fs_err::File::open(path).map_err(unreadable)?;
        let mut to = fs_err::File::create(&copy).map_err(FileError::Staging)?;
        let size = std::io::copy(&mut from, &mut to).map_err(unreadable)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_mmap(&copy).map_err(FileError::Staging)?;
        if hasher.finalize().to_hex().as_str() != blake3 {
            return Err(FileError::Changed { path: path.to_owned() });
        }
        Ok(Content::File { path: copy, size })
    }
}

pub(super) fn join(target: &str, path: &str) -> String {
    if path.is_empty() { target.to_owned() } else { format!("{target}/{path}") }
}

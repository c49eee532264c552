//! The Docker build context.

use std::path::PathBuf;

use smolvm_manifest::{LocalKind, LocalSource};

use crate::recipe::Recipe;
use crate::step::{Content, FileStep, Step};

/// One node of the build context. Folders come before what is in them; missing parents are 0755.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Path relative to the context.
    pub path: String,
    /// What is there.
    pub content: PlannedContent,
    /// Permission bits; they decide those in the image.
    pub mode: u32,
}

/// The content of a [`PlannedFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedContent {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A copy of a file of the building machine.
    Local {
        /// Where it is.
        path: PathBuf,
        /// What it held when the Smolfile was read: blake3, hex.
        blake3: String,
    },
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink(String),
}

/// Where a step's content lies in the context.
pub(crate) fn context_path(steps: &[Step], index: usize) -> String {
    match &steps[index] {
        Step::WriteIdentity(file) if file.target == "/init" => "init".to_owned(),
        Step::WriteIdentity(file) => format!("identity{}", file.target),
        _ => {
            let number = steps[..index].iter().filter(|step| matches!(step, Step::PlaceFile(_))).count();
            format!("files/{number}")
        }
    }
}

/// The whole context of a recipe.
pub(crate) fn plan(recipe: &Recipe) -> Vec<PlannedFile> {
    let mut planned = vec![PlannedFile {
        path: "Dockerfile".to_owned(),
        content: PlannedContent::Bytes(recipe.dockerfile.clone().into_bytes()),
        mode: 0o644,
    }];
    for (index, step) in recipe.steps.iter().enumerate() {
        if let Step::PlaceFile(file) | Step::WriteIdentity(file) = step {
            planned.extend(planned_files(&context_path(&recipe.steps, index), file));
        }
    }
    planned
}

fn planned_files(path: &str, file: &FileStep) -> Vec<PlannedFile> {
    match &file.content {
        Content::Bytes(bytes) => vec![PlannedFile {
            path: path.to_owned(),
            content: PlannedContent::Bytes(bytes.clone()),
            mode: file.mode.unwrap_or(0o644),
        }],
        Content::Local(source) => local_files(path, source, file.mode),
    }
}

fn local_files(path: &str, source: &LocalSource, mode: Option<u32>) -> Vec<PlannedFile> {
    source
        .entries
        .iter()
        .map(|entry| {
            let is_source = entry.path.is_empty();
            let local = if is_source { source.root.clone() } else { source.root.join(&entry.path) };
            let (content, usual_mode) = match &entry.kind {
                LocalKind::Directory => (PlannedContent::Directory, 0o755),
                LocalKind::File { executable, blake3, .. } => {
                    let content = PlannedContent::Local { path: local, blake3: blake3.clone() };
                    (content, if *executable { 0o755 } else { 0o644 })
                }
                LocalKind::Symlink { target } => (PlannedContent::Symlink(target.clone()), 0o777),
            };
            let is_file = matches!(content, PlannedContent::Local { .. });
            PlannedFile {
                path: if is_source { path.to_owned() } else { format!("{path}/{}", entry.path) },
                content,
                // `mode` speaks of a file, not of a copied folder's parts.
                mode: mode.filter(|_| is_source && is_file).unwrap_or(usual_mode),
            }
        })
        .collect()
}

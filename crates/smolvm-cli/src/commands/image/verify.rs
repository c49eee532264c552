//! `smolvm image verify`.

use clap::Args;
use miette::Diagnostic;
use serde_json::json;
use smolvm_store::{Damage, Store};
use thiserror::Error;

use crate::answer::Answer;
use crate::commands::{self, Output};
use crate::exit::Exit;
use crate::failure::Failure;

/// Read every byte of images, and compare with what was built
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Their names, or the beginnings of their keys; all images if there is none
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    store: commands::Store,

    #[command(flatten)]
    pub(super) output: Output,
}

/// Files that are not what was built.
#[derive(Debug, Error, Diagnostic)]
#[error("{} of {checked} images damaged:\n{}", names.len(), found.join("\n"))]
#[diagnostic(
    code(smolvm::image::damaged),
    help("remove what is damaged and build it again: `smolvm image rm {}`", names.join(" "))
)]
struct Damaged {
    checked: usize,
    names: Vec<String>,
    /// A line for each file.
    found: Vec<String>,
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let store = Store::open_existing(self.store.folder())?;
        let images = if self.images.is_empty() { all(&store)? } else { self.images.clone() };
        let mut damaged = Damaged { checked: images.len(), names: Vec::new(), found: Vec::new() };
        for name in &images {
            let found: Vec<String> = match store.find(name) {
                Ok(image) => store.verify(&image)?.iter().map(describe).collect(),
                // A file that is missing or short, or a record that cannot be read.
                Err(error @ smolvm_store::StoreError::Damaged { .. }) => vec![error.to_string()],
                Err(error) => return Err(error.into()),
            };
            if !found.is_empty() {
                damaged.names.push(name.clone());
                damaged.found.extend(found.iter().map(|line| format!("{name}: {line}")));
            }
        }
        if !damaged.names.is_empty() {
            return Err(Failure::new(Exit::Failed, damaged));
        }
        let mut lines: Vec<String> = images.iter().map(|name| format!("{name} is what was built")).collect();
        if lines.is_empty() {
            lines.push("there are no images".to_owned());
        }
        Ok(Answer::done(lines.join("\n") + "\n", &json!({"verified": images})))
    }
}

/// Each image once, by its first name or the beginning of its key.
fn all(store: &Store) -> Result<Vec<String>, Failure> {
    let mut images = store.list()?;
    let mut seen = std::collections::HashSet::new();
    images.retain(|image| seen.insert(image.key.clone()));
    Ok(images.into_iter().map(|image| image.name.unwrap_or_else(|| image.key.as_str()[..12].to_owned())).collect())
}

fn describe(damage: &Damage) -> String {
    let Damage { file, expected, found } = damage;
    format!("{file} hashes to {} instead of {}", &found[..12], &expected[..12])
}

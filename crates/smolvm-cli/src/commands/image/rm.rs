//! `smolvm image rm`.

use clap::Args;
use serde_json::json;
use smolvm_store::{Removed, Store};

use crate::answer::Answer;
use crate::commands::{self, Output, bytes};
use crate::failure::Failure;

/// Remove images
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Their names, or the beginnings of their keys
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    store: commands::Store,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let store = Store::open_existing(self.store.folder())?;
        let removed = self.images.iter().map(|image| store.remove(image)).collect::<Result<Vec<_>, _>>()?;
        let data = json!({"removed": removed.iter().map(|removed| json!({
            "names": removed.names,
            "key": removed.key.as_str(),
            "kept_for": removed.kept_for,
            "freed_bytes": removed.freed_bytes,
        })).collect::<Vec<_>>()});
        Ok(Answer::done(removed.iter().map(for_people).collect::<String>(), &data))
    }
}

fn for_people(removed: &Removed) -> String {
    let what = if removed.names.is_empty() { removed.key.as_str()[..12].to_owned() } else { removed.names.join(", ") };
    if removed.kept_for.is_empty() {
        format!("removed {what}: {} free again\n", bytes(removed.freed_bytes))
    } else {
        format!("removed the name {what}; the image stays for {}\n", removed.kept_for.join(", "))
    }
}

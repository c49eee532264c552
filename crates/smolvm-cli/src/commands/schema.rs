//! `smolvm schema`.

use clap::Args;
use serde_json::Value;

use crate::answer::Answer;

/// Print the JSON schema of the Smolfile, or of its lock
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// That of Smolfile.lock
    #[arg(long)]
    lock: bool,
}

impl Arguments {
    /// The schema is JSON by itself: it needs no envelope.
    pub(super) fn execute(&self) -> Answer {
        let text = if self.lock { smolvm_manifest::lock_schema_text() } else { smolvm_manifest::schema_text() };
        Answer::done(text, &Value::Null)
    }
}

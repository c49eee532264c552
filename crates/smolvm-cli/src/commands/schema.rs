//! `smolvm schema`.

use clap::Args;
use serde_json::Value;

use crate::answer::Answer;

/// Print the JSON schema of the Smolfile
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// The schema is JSON by itself: it needs no envelope.
pub(super) fn execute() -> Answer {
    Answer::done(smolvm_manifest::schema_text(), &Value::Null)
}

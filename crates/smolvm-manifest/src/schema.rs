//! The JSON schema of a Smolfile, generated from the types that read it.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::written::Smolfile;

/// The JSON schema of Smolfile.yaml (draft 7, which every editor reads).
pub fn schema() -> Value {
    built().clone()
}

/// The schema as text: the content of `schemas/smolfile.schema.json`.
pub fn schema_text() -> String {
    format!("{:#}\n", built())
}

/// Everything is spelled out in place: without `$ref` a description stands beside each key, and the place of a mistake
/// in the schema is the place of the words that explain it.
pub(crate) fn built() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Smolfile>();
        schema.insert("description".to_owned(), json!("A Smolfile: the microVM image that `smolvm build` makes."));
        schema.to_value()
    })
}

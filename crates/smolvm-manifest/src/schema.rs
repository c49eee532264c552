//! The JSON schemas of a Smolfile and of its lock, generated from the types that read them.

use std::sync::OnceLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::lock::WrittenFile;
use crate::written::Smolfile;

/// The JSON schema of Smolfile.yaml (draft 7, which every editor reads).
pub fn schema() -> Value {
    built().clone()
}

/// The schema as text: the content of `schemas/smolfile.schema.json`.
pub fn schema_text() -> String {
    format!("{:#}\n", built())
}

/// The JSON schema of Smolfile.lock.
pub fn lock_schema() -> Value {
    let described = "A Smolfile.lock: the exact packages and kernel of the image that `smolvm build` makes. `smolvm lock` writes it.";
    generated::<WrittenFile>(described)
}

/// The lock's schema as text: the content of `schemas/smolfile-lock.schema.json`.
pub fn lock_schema_text() -> String {
    format!("{:#}\n", lock_schema())
}

pub(crate) fn built() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| generated::<Smolfile>("A Smolfile: the microVM image that `smolvm build` makes."))
}

/// Everything is spelled out in place: without `$ref` a description stands beside each key, and the place of a mistake
/// in the schema is the place of the words that explain it.
fn generated<T: JsonSchema>(description: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("description".to_owned(), json!(description));
    schema.to_value()
}

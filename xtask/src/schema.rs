//! `schemas/`, generated from the types of `smolvm-manifest`.

use std::path::PathBuf;

use crate::{Result, say, top};

/// Each schema by its name.
fn schemas() -> [(&'static str, String); 2] {
    [
        ("smolfile.schema.json", smolvm_manifest::schema_text()),
        ("smolfile-lock.schema.json", smolvm_manifest::lock_schema_text()),
    ]
}

/// Writes the schemas again.
pub(crate) fn write() -> Result {
    fs_err::create_dir_all(folder())?;
    for (name, text) in schemas() {
        fs_err::write(folder().join(name), text)?;
        say(&format!("wrote schemas/{name}"));
    }
    Ok(())
}

/// Fails where a committed schema is not the one that the types give.
pub(crate) fn check() -> Result {
    for (name, text) in schemas() {
        if fs_err::read_to_string(folder().join(name)).unwrap_or_default() != text {
            return Err(
                format!("schemas/{name} is not what the types give: run `cargo xtask schema` and commit it").into()
            );
        }
    }
    Ok(())
}

fn folder() -> PathBuf {
    top().join("schemas")
}

//! `schemas/smolfile.schema.json`, generated from the types of `smolvm-manifest`.

use std::path::PathBuf;

use crate::{Result, say, top};

/// Writes the schema again.
pub(crate) fn write() -> Result {
    fs_err::create_dir_all(top().join("schemas"))?;
    fs_err::write(path(), smolvm_manifest::schema_text())?;
    say("wrote schemas/smolfile.schema.json");
    Ok(())
}

/// Fails where the committed schema is not the one that the types give.
pub(crate) fn check() -> Result {
    if fs_err::read_to_string(path())? == smolvm_manifest::schema_text() {
        return Ok(());
    }
    Err("schemas/smolfile.schema.json is not what the types give: run `cargo xtask schema` and commit it".into())
}

fn path() -> PathBuf {
    top().join("schemas/smolfile.schema.json")
}

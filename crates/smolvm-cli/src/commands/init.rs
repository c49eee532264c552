//! `smolvm init`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Output;
use crate::answer::Answer;
use crate::failure::{CliError, Failure};

/// Write a starter Smolfile.yaml
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file to write; one that exists is never overwritten
    #[arg(short, long = "file", value_name = "FILE", default_value = "Smolfile.yaml")]
    file: PathBuf,

    #[command(flatten)]
    pub(super) output: Output,
}

/// Where the first line of the starter tells editors to look, from the Smolfile's folder.
const SCHEMA: &str = ".smolvm/smolfile.schema.json";

#[derive(Debug, Serialize)]
struct Written<'a> {
    file: &'a Path,
    schema: &'a Path,
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let schema = self.file.with_file_name(SCHEMA);
        write_new(&self.file, &smolvm_manifest::starter(&self.image_name()))?;
        let folder = schema.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&schema, smolvm_manifest::schema_text()))
            .map_err(|error| CliError::Write { path: schema.clone(), error })?;
        let text = format!(
            "wrote {}, and {} for your editor: both belong in git\nnext: edit it, then smolvm build{}\n",
            self.file.display(),
            schema.display(),
            if self.file == Path::new("Smolfile.yaml") {
                String::new()
            } else {
                format!(" -f {}", self.file.display())
            },
        );
        Ok(Answer::done(text, &Written { file: &self.file, schema: &schema }))
    }

    /// The name of the folder that the file goes to, made to fit.
    fn image_name(&self) -> String {
        let folder = std::path::absolute(&self.file).ok();
        let folder = folder.as_deref().and_then(Path::parent).and_then(Path::file_name).unwrap_or_default();
        smolvm_manifest::image_name_from(&folder.to_string_lossy())
    }
}

/// Writes a file that does not exist yet.
fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::Exists { path: path.to_owned() },
        _ => CliError::Write { path: path.to_owned(), error },
    })
}

//! `smolvm render`.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use smolvm_render::{PlannedContent, PlannedFile, Recipe};

use super::{Output, Smolfile, options};
use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::{CliError, Failure};
use crate::progress::{Progress, ProgressArguments};
use crate::terminal::Terminal;

/// Show what a Smolfile becomes: the steps, as a Dockerfile, and the guest's /init
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    smolfile: Smolfile,

    /// Write Dockerfile, init and what they need into this folder instead: docker build accepts it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Use the download cache alone, never the network
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    progress: ProgressArguments,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        let mut options = options(&self.smolfile);
        options.offline = self.offline;
        let progress = Progress::new(&self.progress, terminal);
        let events = progress.events();
        let locked = progress.during(smolvm_build::resolve(&options, &events))?;
        let recipe = smolvm_render::render(&locked).map_err(|error| Failure::new(Exit::Input, error))?;
        match &self.out {
            Some(folder) => written(&recipe, folder),
            None => Ok(shown(&recipe)),
        }
    }
}

fn shown(recipe: &Recipe) -> Answer {
    let text = format!("### Dockerfile\n{}\n### /init\n{}", recipe.dockerfile, recipe.init);
    Answer::done(text, &json!({"dockerfile": recipe.dockerfile, "init": recipe.init}))
}

/// A folder that `docker build` takes.
fn written(recipe: &Recipe, folder: &Path) -> Result<Answer, Failure> {
    let plan = recipe.write_plan();
    for planned in &plan {
        let path = folder.join(&planned.path);
        write(&path, planned).map_err(|error| CliError::Write { path, error })?;
    }
    let text = format!("wrote {}: a Dockerfile, init, and what they need\n", folder.display());
    let files: Vec<_> = plan.iter().map(|planned| folder.join(&planned.path)).collect();
    Ok(Answer::done(text, &json!({"files": files})))
}

fn write(path: &Path, planned: &PlannedFile) -> io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    match &planned.content {
        PlannedContent::Directory => std::fs::create_dir_all(path)?,
        PlannedContent::Symlink(target) => {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            return symlink(target, path);
        }
        PlannedContent::Bytes(bytes) => std::fs::write(path, bytes)?,
        PlannedContent::Local { path: source, .. } => drop(std::fs::copy(source, path)?),
    }
    std::fs::set_permissions(path, Permissions::from_mode(planned.mode))
}

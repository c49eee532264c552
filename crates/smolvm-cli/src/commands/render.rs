//! `smolvm render`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use smolvm_render::Recipe;

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

    /// Write Dockerfile and init into this folder instead
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

fn written(recipe: &Recipe, folder: &Path) -> Result<Answer, Failure> {
    let failed = |path: &Path, error| CliError::Write { path: path.to_owned(), error };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut files = Vec::new();
    for (name, content) in [("Dockerfile", &recipe.dockerfile), ("init", &recipe.init)] {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|error| failed(&path, error))?;
        files.push(path);
    }
    let text: String = files.iter().map(|file| format!("wrote {}\n", file.display())).collect();
    Ok(Answer::done(text, &json!({"files": files})))
}

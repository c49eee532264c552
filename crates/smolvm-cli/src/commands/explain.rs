//! `smolvm explain`.

use clap::Args;

use super::{Output, Smolfile, Store, options};
use crate::answer::Answer;
use crate::commands::build::Engine;
use crate::failure::Failure;
use crate::progress::{Progress, ProgressArguments};
use crate::terminal::Terminal;

/// Say which layers a build would reuse, and what changed in the others
#[derive(Debug, Args)]
#[command(after_help = "Compared is with the image that the Smolfile's name means now. Nothing is fetched or written.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    smolfile: Smolfile,

    #[command(flatten)]
    store: Store,

    /// Who would build
    #[arg(long, value_enum, default_value = "auto")]
    engine: Engine,

    #[command(flatten)]
    progress: ProgressArguments,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        let mut options = options(&self.smolfile);
        options.image_dir = self.store.folder();
        options.engine = self.engine.into();
        let progress = Progress::new(&self.progress, terminal);
        let explanation = smolvm_build::explain(&options, &progress.events())?;
        Ok(Answer::done(explanation.to_string(), &explanation))
    }
}

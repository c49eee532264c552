//! `smolvm completions`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use serde_json::Value;

use crate::answer::Answer;
use crate::cli::Cli;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "For bash: smolvm completions bash > ~/.local/share/bash-completion/completions/smolvm")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

impl Arguments {
    pub(super) fn execute(&self) -> Answer {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "smolvm", &mut script);
        Answer::done(String::from_utf8_lossy(&script), &Value::Null)
    }
}

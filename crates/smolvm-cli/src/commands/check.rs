//! `smolvm check`.

use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde_json::json;
use smolvm_build::{Event, Events};

use super::{Output, Smolfile, options};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::report;
use crate::terminal::Terminal;

/// Validate a Smolfile and everything that it refers to, without building
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    smolfile: Smolfile,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    #[expect(clippy::print_stderr, reason = "warnings go to stderr; this command shows no progress")]
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&warnings);
        let events = Events::new(move |event| {
            if let Event::Warning(warning) = event {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
            }
        });
        let manifest = smolvm_build::check(&options(&self.smolfile), &events)?;
        let warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.output.json {
            for warning in &*warnings {
                eprint!("{}", report::for_people(warning, terminal));
            }
        }
        let file = self.smolfile.file.display();
        let text = format!("{file} is valid: image {}, {} for {}\n", manifest.name, manifest.base, manifest.arch);
        let data = json!({
            "file": self.smolfile.file,
            "name": manifest.name,
            "base": manifest.base.to_string(),
            "arch": manifest.arch.as_str(),
            "warnings": warnings.iter().map(|warning| report::for_machines(warning)).collect::<Vec<_>>(),
        });
        Ok(Answer::done(text, &data))
    }
}

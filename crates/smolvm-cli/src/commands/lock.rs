//! `smolvm lock`.

use std::fmt::Write;

use clap::Args;
use smolvm_build::{LockReport, LockUpdate};

use super::{MirrorDir, Output, Smolfile, options};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::progress::{Progress, ProgressArguments};
use crate::terminal::Terminal;

/// Write the lock of a Smolfile: every package and the kernel, exactly
#[derive(Debug, Args)]
#[command(
    after_help = "A lock that is current is left as it is. Commit it beside the Smolfile: whoever builds gets the same bytes."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    smolfile: Smolfile,

    /// Resolve everything anew, also where the lock is current; with names, only these packages and what they need newer
    #[arg(long, value_name = "PACKAGE", num_args = 0.., conflicts_with = "check")]
    update: Option<Vec<String>>,

    /// Only say whether the lock is current; fetch and write nothing
    #[arg(long)]
    check: bool,

    /// Use the download cache alone, never the network
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    mirror_dir: MirrorDir,

    #[command(flatten)]
    progress: ProgressArguments,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        let mut options = options(&self.smolfile);
        options.offline = self.offline;
        self.mirror_dir.set(&mut options);
        let progress = Progress::new(&self.progress, terminal);
        let events = progress.events();
        let report = if self.check {
            smolvm_build::check_lock(&options, &events)?
        } else {
            progress.during(smolvm_build::lock(&options, &self.update(), &events))?
        };
        Ok(Answer::done(text(&report), &report))
    }

    fn update(&self) -> LockUpdate {
        match &self.update {
            None => LockUpdate::Nothing,
            Some(names) if names.is_empty() => LockUpdate::Everything,
            Some(names) => LockUpdate::Packages(names.clone()),
        }
    }
}

fn text(report: &LockReport) -> String {
    let path = report.path.display();
    if !report.written {
        return format!("{path} is current\n");
    }
    let mut text = format!("{path} was written: {} packages and the kernel\n", report.packages);
    for change in &report.changes {
        let _ = writeln!(text, "  {change}");
    }
    text
}

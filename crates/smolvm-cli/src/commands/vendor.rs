//! `smolvm vendor`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use smolvm_build::VendorReport;

use super::{MirrorDir, Output, Smolfile, bytes, options};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::progress::{Progress, ProgressArguments};
use crate::terminal::Terminal;

/// Copy all that a lock names into a folder, to build from it without a network
#[derive(Debug, Args)]
#[command(
    after_help = "`smolvm build --mirror-dir DIR` builds from the folder. What is in the folder and whole is left as it is, so several Smolfiles can share one. A lock that is missing is written."
)]
pub(crate) struct Arguments {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    #[command(flatten)]
    smolfile: Smolfile,

    /// Take the lock beside the Smolfile, or do nothing
    #[arg(long)]
    locked: bool,

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
        options.locked = self.locked;
        options.offline = self.offline;
        self.mirror_dir.set(&mut options);
        let progress = Progress::new(&self.progress, terminal);
        let events = progress.events();
        let report = progress.during(smolvm_build::vendor(&options, &self.folder, &events))?;
        Ok(Answer::done(text(&report), &report))
    }
}

fn text(report: &VendorReport) -> String {
    let VendorReport { folder, lock, files, added, .. } = report;
    let size = bytes(report.bytes);
    let mut text = format!(
        "{} holds all of {}: {files} files, {size}; {added} of them were added\n",
        folder.display(),
        lock.display()
    );
    for item in &report.not_vendored {
        let _ = writeln!(text, "  it does not hold {item}");
    }
    text
}

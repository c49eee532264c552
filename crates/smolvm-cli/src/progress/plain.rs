//! A line for every stage that ended, and for what went wrong on the way: for logs.

use std::sync::Mutex;
use std::sync::PoisonError;

use smolvm_build::{Event, Stage};
use smolvm_fetch::FetchEvent;

use super::{Sink, line, seconds, trouble};
use crate::report;
use crate::terminal::Terminal;

pub(super) struct Plain {
    verbose: bool,
    terminal: Terminal,
    downloads: Mutex<Downloads>,
}

/// What was downloaded since the last stage that fetched something.
#[derive(Default)]
struct Downloads {
    files: u64,
    bytes: u64,
}

impl Plain {
    pub(super) fn new(verbose: bool, terminal: Terminal) -> Self {
        Self { verbose, terminal, downloads: Mutex::default() }
    }

    /// `, 149 files and 54.0 MB downloaded` after a stage that downloads, if it had to.
    fn downloaded(&self, stage: Stage) -> String {
        if !matches!(stage, Stage::Resolve | Stage::Fetch) {
            return String::new();
        }
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *downloads) {
            Downloads { files: 0, .. } => String::new(),
            Downloads { files, bytes } => format!(", {files} files and {} downloaded", indicatif::DecimalBytes(bytes)),
        }
    }
}

impl Sink for Plain {
    fn event(&self, event: Event) {
        match event {
            // They take no time that anybody would miss.
            Event::StageFinished(Stage::Load | Stage::Commit, _) => {}
            Event::StageFinished(stage, duration) => {
                line(&format!("{}: {}{}", stage.verb(), seconds(duration), self.downloaded(stage)));
            }
            Event::Fetch(FetchEvent::Finished { bytes, cached: false, .. }) => {
                let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
                downloads.files += 1;
                downloads.bytes += bytes;
            }
            Event::Fetch(event) => {
                if let Some(trouble) = trouble(&event) {
                    line(&trouble);
                }
            }
            Event::Output { source, line: output } if self.verbose => line(&format!("{source} | {output}")),
            Event::Warning(warning) => line(report::for_people(&warning, self.terminal).trim_end()),
            Event::Note(note) => line(&note),
            Event::StageStarted(_) | Event::StageProgress { .. } | Event::Output { .. } => {}
        }
    }

    fn note(&self, text: &str) {
        line(text);
    }
}

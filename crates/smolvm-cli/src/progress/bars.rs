//! Bars that are redrawn, for somebody who watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use smolvm_build::{Event, Stage};
use smolvm_fetch::FetchEvent;

use super::{Sink, seconds, trouble};
use crate::report;
use crate::terminal::Terminal;

pub(super) struct Bars {
    verbose: bool,
    terminal: Terminal,
    screen: MultiProgress,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    stages: HashMap<Stage, ProgressBar>,
    downloads: HashMap<Arc<str>, ProgressBar>,
}

/// A download that is smaller is over before anybody could read its line.
const WORTH_A_BAR: u64 = 2_000_000;

impl Bars {
    pub(super) fn new(verbose: bool, terminal: Terminal) -> Self {
        Self { verbose, terminal, screen: MultiProgress::new(), shown: Mutex::default() }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays, above the bars.
    fn keep(&self, text: &str) {
        // Where stderr is gone there is nobody to tell.
        let _ = self.screen.println(text);
    }

    fn stage_started(&self, stage: Stage) {
        let bar = self.screen.add(ProgressBar::new_spinner().with_style(self.style("{spinner} {prefix} {wide_msg}")));
        bar.set_prefix(stage.verb());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.shown().stages.insert(stage, bar);
    }

    fn stage_progress(&self, stage: Stage, done: u64, total: u64, item: &str) {
        if let Some(bar) = self.shown().stages.get(&stage) {
            if bar.length().is_none() {
                bar.set_style(self.style("{spinner} {prefix} {bar:20} {pos}/{len} {wide_msg}"));
            }
            bar.set_length(total);
            bar.set_position(done);
            // A step may be a whole script.
            bar.set_message(item.lines().next().unwrap_or_default().to_owned());
        }
    }

    fn stage_finished(&self, stage: Stage, duration: Duration) {
        if let Some(bar) = self.shown().stages.remove(&stage) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        if !matches!(stage, Stage::Load | Stage::Commit) {
            self.keep(&format!("{:<30} {:>9}", stage.verb(), seconds(duration)));
        }
    }

    fn fetch(&self, event: FetchEvent) {
        match event {
            FetchEvent::Started { name, size: Some(size), resumed_from, .. } if size >= WORTH_A_BAR => {
                let style = self.style("  {bar:20} {decimal_bytes:>9}/{decimal_total_bytes:9} {wide_msg}");
                let bar = self.screen.add(ProgressBar::new(size).with_style(style));
                bar.set_message(name.to_string());
                bar.set_position(resumed_from);
                if let Some(earlier) = self.shown().downloads.insert(name, bar) {
                    self.screen.remove(&earlier);
                }
            }
            FetchEvent::Progress { name, bytes } => {
                if let Some(bar) = self.shown().downloads.get(&name) {
                    bar.set_position(bytes);
                }
            }
            FetchEvent::Finished { name, .. } => {
                if let Some(bar) = self.shown().downloads.remove(&name) {
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
            }
            event => {
                if let Some(trouble) = trouble(&event) {
                    self.keep(&trouble);
                }
            }
        }
    }

    fn style(&self, template: &str) -> ProgressStyle {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        if self.terminal.unicode {
            style.progress_chars("━╸ ")
        } else {
            style.progress_chars("=> ").tick_chars("|/-\\ ")
        }
    }
}

impl Sink for Bars {
    fn event(&self, event: Event) {
        match event {
            Event::StageStarted(stage) => self.stage_started(stage),
            Event::StageFinished(stage, duration) => self.stage_finished(stage, duration),
            Event::StageProgress { stage, done, total, item } => self.stage_progress(stage, done, total, &item),
            Event::Fetch(event) => self.fetch(event),
            Event::Output { source, line } if self.verbose => self.keep(&format!("{source} | {line}")),
            Event::Output { .. } => {}
            Event::Warning(warning) => self.keep(report::for_people(&warning, self.terminal).trim_end()),
            Event::Note(note) => self.keep(&note),
        }
    }

    fn note(&self, line: &str) {
        self.keep(line);
    }

    fn finish(&self) {
        let mut shown = self.shown();
        for (_, bar) in shown.stages.drain() {
            bar.finish_and_clear();
        }
        for (_, bar) in shown.downloads.drain() {
            bar.finish_and_clear();
        }
    }
}

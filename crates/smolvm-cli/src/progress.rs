//! How a build's events look: bars that are redrawn, plain lines, or JSON lines. All of it on stderr.

mod bars;
mod json;
mod plain;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use smolvm_build::{Event, Events};
use smolvm_fetch::FetchEvent;

use crate::failure::Failure;
use crate::interrupt;
use crate::terminal::Terminal;

/// How progress is shown.
#[derive(Debug, Args)]
pub(crate) struct ProgressArguments {
    /// How progress is shown on stderr; auto draws bars on a terminal and is plain elsewhere
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Style::Auto)]
    progress: Style,

    /// Also show what maintainer scripts and run steps print
    #[arg(short, long)]
    verbose: bool,
}

/// The ways to show progress.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Style {
    Auto,
    Plain,
    Json,
}

/// A way to show events.
trait Sink: Send + Sync {
    /// Shows one event.
    fn event(&self, event: Event);
    /// Shows a line of the command line's own.
    fn note(&self, line: &str);
    /// Leaves the terminal as it should stay.
    fn finish(&self) {}
}

/// Shows events in the chosen way.
#[derive(Clone)]
pub(crate) struct Progress(Arc<dyn Sink>);

impl Progress {
    pub(crate) fn new(arguments: &ProgressArguments, terminal: Terminal) -> Self {
        let verbose = arguments.verbose;
        Self(match arguments.progress {
            Style::Json => Arc::new(json::Lines),
            Style::Auto if terminal.interactive => Arc::new(bars::Bars::new(verbose, terminal)),
            Style::Auto | Style::Plain => Arc::new(plain::Plain::new(verbose, terminal)),
        })
    }

    /// Where a build sends its events.
    pub(crate) fn events(&self) -> Events {
        let sink = Arc::clone(&self.0);
        Events::new(move |event| sink.event(event))
    }

    /// Does work that may take long, until it ends or somebody asks to stop.
    pub(crate) fn during<T, E: Into<Failure>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
        let stopping = || self.0.note("stopping; once more to stop at once");
        let result = interrupt::run(stopping, async { work.await.map_err(Into::into) });
        self.0.finish();
        result
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// A line on stderr that a reader who went away does not turn into a panic.
pub(crate) fn line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What a download met with on its way that the user should see even where no download is shown.
fn trouble(event: &FetchEvent) -> Option<String> {
    Some(match event {
        FetchEvent::Retrying { name, mirror, reason, wait } => {
            format!("{name}: {reason} ({mirror}); trying again in {}", seconds(*wait))
        }
        FetchEvent::NextMirror { name, mirror, reason } => {
            format!("{name}: {reason} ({mirror}); asking the next mirror")
        }
        FetchEvent::Replaced { name, mirror, reason } => {
            format!("{name} is another file at {mirror} now: {reason}. It is not used")
        }
        FetchEvent::Gone { name, version } => {
            format!("{name} {version} is gone from the mirrors; looking for it in the snapshots of its archive")
        }
        FetchEvent::DamagedCacheEntry { name } => {
            format!("{name} was damaged in the download cache and is fetched again")
        }
        FetchEvent::Waiting { name } => format!("{name} is being downloaded by another smolvm; waiting for it"),
        _ => return None,
    })
}

/// `0.31 s`
fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

//! What stderr can show.

use std::io::{IsTerminal, stderr};

/// Where reports and progress go, and what may be drawn there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Whether somebody watches, so that lines may be redrawn.
    pub(crate) interactive: bool,
    /// Whether colour is welcome.
    pub(crate) colour: bool,
    /// Whether the locale shows more than ASCII.
    pub(crate) unicode: bool,
    /// Columns.
    pub(crate) width: usize,
}

/// The width of lines that go to a file or a pipe.
const WIDTH_OF_FILES: usize = 100;

impl Terminal {
    /// Looks at stderr and at the environment: `NO_COLOR`, `TERM`, the locale.
    pub(crate) fn look() -> Self {
        let dumb = variable("TERM").is_none_or(|term| term == "dumb");
        let interactive = stderr().is_terminal() && !dumb;
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default().to_lowercase();
        Self {
            interactive,
            colour: interactive && variable("NO_COLOR").is_none(),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            width: width_of_terminal().unwrap_or(WIDTH_OF_FILES),
        }
    }
}

fn width_of_terminal() -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(stderr()).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

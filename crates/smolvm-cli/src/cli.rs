//! From the words of a command line to an exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::answer;
use crate::commands::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;
use crate::terminal::Terminal;

/// Builds bootable microVM images from a Smolfile.yaml, and runs them.
#[derive(Debug, Parser)]
#[command(
    name = "smolvm",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 the build or the guest failed, 2 the input is wrong, 3 the host lacks something, \
                  130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Reads the command line, does what it says, and reports.
pub(crate) fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let code = match Cli::try_parse_from(&words) {
        Ok(cli) => execute(&cli.command),
        Err(error) => usage(&error, &words),
    };
    ExitCode::from(code)
}

fn execute(command: &Command) -> u8 {
    let terminal = Terminal::look();
    let name = command.name();
    let outcome = command.execute(terminal).and_then(|answer| {
        let text = if command.json() { answer::envelope(name, &answer.data) } else { answer.text };
        answer::print(&text).map(|()| answer.code)
    });
    outcome.unwrap_or_else(|failure| {
        if command.json() {
            // Where stdout is what failed, the report on stderr below is all that is left.
            if answer::print(&answer::envelope_of_failure(name, &*failure.diagnostic)).is_ok() {
                return failure.exit.code();
            }
        }
        report(&failure, terminal);
        failure.exit.code()
    })
}

#[expect(clippy::print_stderr, reason = "this is where the command line reports a failure")]
fn report(failure: &Failure, terminal: Terminal) {
    eprint!("{}", report::for_people(&*failure.diagnostic, terminal));
}

/// Help and version, which were asked for, or a command line that is wrong.
fn usage(error: &clap::Error, words: &[std::ffi::OsString]) -> u8 {
    let mut own = words.iter().take_while(|word| *word != "--");
    if error.use_stderr() && own.any(|word| word == "--json") {
        let failure = UsageError::new(&error.render().to_string());
        let command = words.get(1).map(|word| word.to_string_lossy()).unwrap_or_default();
        // Nobody to tell where stdout is gone; the exit code says it.
        let _ = answer::print(&answer::envelope_of_failure(&command, &failure));
    } else {
        // As above.
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Input.code() } else { Exit::Done.code() }
}

/// A wrong command line, for machines; people get clap's own text.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
#[diagnostic(code(smolvm::cli::usage))]
struct UsageError {
    message: String,
    #[help]
    help: String,
}

impl UsageError {
    fn new(text: &str) -> Self {
        let (message, help) = text.split_once("\n\n").unwrap_or((text, ""));
        let message = message.trim_start_matches("error: ").trim().to_owned();
        Self { message, help: help.trim().to_owned() }
    }
}

//! `cargo xtask`: what this repository does to itself. `cargo xtask test` is the one command that CI runs.

mod check;
mod docker;
mod process;
mod schema;
mod setup;
mod test;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// What every step gives back; the text of an error says what to do.
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Generated files, checks and the test run of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what the tests need (as root, through apt-get), check everything, then run every test
    Test,
    /// Check formatting, lints, generated files, dependencies, and that no file names this machine
    Check,
    /// Write the schemas of Smolfile and lock in schemas/ again
    Schema,
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Test => test::test(),
        Task::Check => check::check(),
        Task::Schema => schema::write(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line on stderr; stdout belongs to the test runner.
#[expect(clippy::print_stderr, reason = "this is the one place where xtask speaks")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The top folder of the checkout.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

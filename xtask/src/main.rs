//! `cargo xtask`: what this repository does to itself. `cargo xtask test` is the one command that CI runs.

mod bench;
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
type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// Generated files, checks, the test run and the benchmarks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what the tests need (as root, through apt-get), check everything, then run every test
    Test,
    /// Check formatting, lints, generated files, dependencies, and that no file names this machine
    Check,
    /// Write the schemas of Smolfile and lock in schemas/ again
    Schema,
    /// Measure smolvm beside what people would take instead, and write docs/benchmarks.md
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Test => test::test(),
        Task::Check => check::check(),
        Task::Schema => schema::write(),
        Task::Bench(arguments) => bench::bench(&arguments),
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

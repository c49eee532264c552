//! The command line of smolvm.
//!
//! The only crate that prints, exits, or reads the environment and the clock: all others take values and give values back.

mod answer;
mod cli;
mod commands;
mod exit;
mod failure;
mod interrupt;
mod progress;
mod report;
mod terminal;

fn main() -> std::process::ExitCode {
    cli::main()
}

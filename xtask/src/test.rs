//! The test run: set-up, checks, documentation tests, then every other test. The test runner has the last word.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{cargo, run, succeeds_within};
use crate::{Result, check, docker, say, setup};

/// Runs everything. A check that fails does not keep the tests from running.
pub(crate) fn test() -> Result {
    setup::prepare()?;
    let checked = check::check();
    say("== documentation tests");
    let documented = run(cargo(&["test", "--quiet", "--workspace", "--locked", "--doc"]));
    say("== tests");
    let docker = docker::Daemon::start(setup::is_root())?;
    let with_docker = |mut command: Command| {
        if let Some(daemon) = &docker {
            command.env(docker::VARIABLE, daemon.address());
        }
        command
    };
    for earlier in [&checked, &documented] {
        if let Err(error) = earlier {
            say(&format!("before the tests: {error}"));
        }
    }
    let tested = if succeeds_within(cargo(&["nextest", "--version"]), Duration::from_mins(1)) {
        run(with_docker(cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"])))
    } else {
        cargo_test(with_docker)
    };
    checked.and(documented).and(tested)
}

/// `cargo test`, whose summaries stand between its other lines: they are shown once more at the end.
fn cargo_test(prepared: impl FnOnce(Command) -> Command) -> Result {
    let words = ["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"];
    say(&format!("$ cargo {}", words.join(" ")));
    let mut child = prepared(cargo(&words)).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("cargo's output is not to be had")?;
    let mut summaries = Vec::new();
    let mut stdout = std::io::stdout();
    for line in BufReader::new(output).lines() {
        let line = line?;
        writeln!(stdout, "{line}")?;
        if line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed") {
            summaries.push(line);
        }
    }
    let status = child.wait()?;
    for summary in summaries {
        writeln!(stdout, "{summary}")?;
    }
    if status.success() { Ok(()) } else { Err("tests failed".into()) }
}

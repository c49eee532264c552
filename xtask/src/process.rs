//! Running other programs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Result, say, top};

/// A program in the top folder, with its words.
pub(crate) fn program(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(words).current_dir(top());
    command
}

/// Cargo, with its words.
pub(crate) fn cargo(words: &[&str]) -> Command {
    program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), words)
}

/// Shows the command, runs it, and fails where it fails.
pub(crate) fn run(mut command: Command) -> Result {
    let shown = shown(&command);
    say(&format!("$ {shown}"));
    let status = command.status().map_err(|error| format!("`{shown}` did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})").into()) }
}

/// Whether the command can be started and ends well within the time, its output dropped.
pub(crate) fn succeeds_within(mut command: Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let started = Instant::now();
    while started.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => return false,
        }
    }
    // It may have ended by itself just now: nothing to do about it then.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Whether a program of this name is to be found, in PATH or where Debian keeps those of root.
pub(crate) fn exists(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(name).is_file())
}

fn shown(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    format!("{} {}", name.to_string_lossy(), words.join(" "))
}

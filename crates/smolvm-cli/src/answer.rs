//! What a command says on stdout: text for people, one envelope for machines.

use std::io::{self, Write, stdout};

use miette::Diagnostic;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::{CliError, Failure};
use crate::report;

/// The result of a command that ended well.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For people.
    pub(crate) text: String,
    /// For machines.
    pub(crate) data: Value,
    /// The exit code; not 0 where a guest's command decides it.
    pub(crate) code: u8,
}

impl Answer {
    /// An answer of a command that is done.
    pub(crate) fn done(text: impl Into<String>, data: &impl Serialize) -> Self {
        Self { text: text.into(), data: json!(data), code: Exit::Done.code() }
    }

    /// Nothing more to say than what a guest's command ended with.
    pub(crate) fn code(code: u8) -> Self {
        Self { text: String::new(), data: Value::Null, code }
    }
}

/// `{ok: true, command, data}` on one line.
pub(crate) fn envelope(command: &str, data: &Value) -> String {
    format!("{}\n", json!({"ok": true, "command": command, "data": data}))
}

/// `{ok: false, command, error}` on one line.
pub(crate) fn envelope_of_failure(command: &str, diagnostic: &dyn Diagnostic) -> String {
    format!("{}\n", json!({"ok": false, "command": command, "error": report::for_machines(diagnostic)}))
}

/// Writes to stdout. A reader that has gone away wanted no more: that is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Stdout { error }.into()),
        _ => Ok(()),
    }
}

//! What a command prints: streamed line by line, its end kept for the report, secrets blotted out.

use std::collections::VecDeque;
use std::io::Write as _;

use crate::{Event, Events};

/// Lines of a failed command that the report shows.
const LINES_SHOWN: usize = 40;
/// A longer line is cut into pieces of this many bytes.
const LONGEST_LINE: usize = 8 << 10;
/// What stands where a secret was.
const BLOT: &str = "********";

/// Takes a command's output as it comes.
pub(crate) struct Output<'a> {
    source: &'a str,
    secrets: Vec<String>,
    events: &'a Events,
    unfinished: Vec<u8>,
    tail: VecDeque<String>,
    log: Option<fs_err::File>,
}

impl<'a> Output<'a> {
    /// `secrets` are values that the command knows and nobody else may see.
    pub(crate) fn new(source: &'a str, secrets: impl IntoIterator<Item = Vec<u8>>, events: &'a Events) -> Self {
        let secrets = secret_lines(secrets);
        Self { source, secrets, events, unfinished: Vec::new(), tail: VecDeque::new(), log: None }
    }

    /// Also writes every line to a file.
    pub(crate) fn logged(mut self, log: Option<fs_err::File>) -> Self {
        self.log = log;
        self
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            self.line(&line[..end]);
        }
        if self.unfinished.len() > LONGEST_LINE {
            let line = std::mem::take(&mut self.unfinished);
            self.line(&line);
        }
    }

    /// The last lines.
    pub(crate) fn finish(mut self) -> String {
        if !self.unfinished.is_empty() {
            let line = std::mem::take(&mut self.unfinished);
            self.line(&line);
        }
        Vec::from(self.tail).join("\n")
    }

    fn line(&mut self, bytes: &[u8]) {
        let mut line = String::from_utf8_lossy(bytes).trim_end_matches('\r').to_owned();
        blot(&mut line, &self.secrets);
        // A program may print anything: what could move a terminal's cursor, or set its title, is left out.
        line.retain(|character| !character.is_control() || character == '\t');
        // Without what stood in between, the parts of a secret may have met.
        blot(&mut line, &self.secrets);
        if let Some(log) = &mut self.log {
            // A log that cannot be written is missed later, by whoever looks for it.
            let _ = writeln!(log, "{line}");
        }
        if self.tail.len() == LINES_SHOWN {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        self.events.send(Event::Output { source: self.source.to_owned(), line });
    }
}

/// A text without the secrets that it may hold.
pub(crate) fn blotted(text: &str, secrets: &[Vec<u8>]) -> String {
    let mut text = text.to_owned();
    blot(&mut text, &secret_lines(secrets.iter().cloned()));
    text
}

fn blot(text: &mut String, secrets: &[String]) {
    for secret in secrets {
        *text = text.replace(secret, BLOT);
    }
}

/// Each line of each secret, the longest first.
fn secret_lines(secrets: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
    let mut lines: Vec<String> = secrets
        .into_iter()
        .flat_map(|secret| {
            String::from_utf8_lossy(&secret).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn lines_are_whole_and_secrets_are_not_in_them() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = Events::new({
            let seen = Arc::clone(&seen);
            move |event| {
                if let Event::Output { line, .. } = event {
                    seen.lock().unwrap().push(line);
                }
            }
        });
        let mut output = Output::new("make", [b"canary-1\ncanary-2\n".to_vec()], &events);
        output.feed(b"first li");
        output.feed(b"ne\nTOKEN=canary-1");
        output.feed(b" canary-\x002\r\nlast");
        let wanted = ["first line", "TOKEN=******** ********", "last"];
        assert_eq!(output.finish(), wanted.join("\n"));
        assert_eq!(*seen.lock().unwrap(), wanted);
    }

    #[test]
    fn nothing_that_commands_a_terminal_comes_through() {
        let events = Events::silent();
        let mut output = Output::new("make", [], &events);
        output.feed(b"\x1b[2J\x1b]0;title\x07 a\tb \xc2\x9b \x00c\n");
        assert_eq!(output.finish(), "[2J]0;title a\tb  c");
    }

    #[test]
    fn only_the_end_is_kept() {
        let events = Events::silent();
        let mut output = Output::new("make", [], &events);
        for number in 0..100 {
            output.feed(format!("{number}\n").as_bytes());
        }
        let tail = output.finish();
        assert_eq!(tail.lines().count(), LINES_SHOWN);
        assert!(tail.ends_with("98\n99"));
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let events = Events::silent();
        let mut output = Output::new("yes", [], &events);
        for _ in 0..1000 {
            output.feed(&[b'y'; 1000]);
            assert!(output.unfinished.len() <= LONGEST_LINE);
        }
    }
}

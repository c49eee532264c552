//! What a guest writes on its serial console, followed while it grows.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::ConsoleEnd;

/// How many lines an error shows.
const SHOWN_LINES: usize = 15;
/// How much of the log is read for them.
const SHOWN_BYTES: u64 = 16 * 1024;

/// A guest's console log.
#[derive(Debug)]
pub(crate) struct Console {
    log: PathBuf,
    /// How far it was read.
    position: u64,
    /// A line whose end was not written yet.
    unfinished: Vec<u8>,
}

impl Console {
    pub(crate) fn new(log: PathBuf) -> Self {
        Self { log, position: 0, unfinished: Vec::new() }
    }

    /// The lines that were finished since the last call. A log that is not there yet has none.
    pub(crate) fn new_lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = match fs_err::File::open(&self.log) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.position))?;
        let mut text = std::mem::take(&mut self.unfinished);
        self.position += file.read_to_end(&mut text)? as u64;
        let finished = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        self.unfinished = text.split_off(finished);
        Ok(lines(&text))
    }

    /// The end of the log, for an error. A log that cannot be read has no lines.
    pub(crate) fn end(&self) -> ConsoleEnd {
        let mut lines = read_end(&self.log).map(|text| lines(&text)).unwrap_or_default();
        lines.drain(..lines.len().saturating_sub(SHOWN_LINES));
        ConsoleEnd { lines, log: self.log.clone() }
    }
}

/// A guest may write anything: what could move a terminal's cursor is left out.
fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text)
        .lines()
        .map(|line| line.chars().filter(|&character| !character.is_control() || character == '\t').collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect()
}

fn read_end(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs_err::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
    let mut text = Vec::new();
    file.take(SHOWN_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_once_and_only_when_finished() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("console.log");
        let mut console = Console::new(log.clone());
        assert_eq!(console.new_lines().unwrap(), Vec::<String>::new());
        fs_err::write(&log, "one\r\ntw").unwrap();
        assert_eq!(console.new_lines().unwrap(), ["one"]);
        fs_err::write(&log, "one\r\ntwo\nthree\n").unwrap();
        assert_eq!(console.new_lines().unwrap(), ["two", "three"]);
        assert_eq!(console.new_lines().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_error_shows_the_last_lines_without_escape_sequences() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("console.log");
        let text: Vec<String> = (0..100).map(|number| format!("\u{1b}[1mline {number}\u{1b}c\n\n")).collect();
        fs_err::write(&log, text.concat()).unwrap();
        let end = Console::new(log).end();
        assert_eq!(end.lines.len(), SHOWN_LINES);
        assert_eq!(end.lines.last().map(String::as_str), Some("[1mline 99c"));
        assert!(end.to_string().contains("console.log"));
    }
}

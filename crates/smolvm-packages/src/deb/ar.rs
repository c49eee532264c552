//! The outer layer of a .deb: an `ar` archive, read from front to back.

use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// An `ar` archive.
#[derive(Debug)]
pub(super) struct Archive<R> {
    reader: R,
    /// Bytes of the current member, its padding included, that nobody has read yet.
    left: u64,
    padding: u64,
}

/// One member: its name, and through [`Read`] its bytes.
#[derive(Debug)]
pub(super) struct Member<'a, R> {
    /// Its name, without the padding.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    archive: &'a mut Archive<R>,
}

impl<R: Read> Archive<R> {
    /// Reads the magic.
    pub(super) fn new(mut reader: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        match reader.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => Ok(Self { reader, left: 0, padding: 0 }),
            Ok(()) => Err(malformed("it does not begin like an ar archive")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(malformed("it is too short to be an ar archive"))
            }
            Err(error) => Err(error),
        }
    }

    /// The next member, past whatever is left of the one before; `None` at the end.
    pub(super) fn next_member(&mut self) -> io::Result<Option<Member<'_, R>>> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())?;
        // The padding of the last member may be missing.
        if skipped < self.left {
            return Err(ended_early());
        }
        (self.left, self.padding) = (0, 0);
        let mut header = [0; HEADER];
        let mut filled = 0;
        while filled < HEADER {
            match self.reader.read(&mut header[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(ended_early()),
                read => filled += read,
            }
        }
        if !header.ends_with(b"`\n") {
            return Err(malformed("an ar header in it is damaged"));
        }
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| text.trim_end_matches(' ').to_owned());
        let name = text(&header[..16]).ok_or_else(|| malformed("an ar member in it has no readable name"))?;
        let size = text(&header[48..58])
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or_else(|| malformed("an ar member in it has no readable size"))?;
        (self.left, self.padding) = (size, size % 2);
        Ok(Some(Member { name: name.trim_end_matches('/').to_owned(), size, archive: self }))
    }

    /// The current member once more, where it has been read up to now.
    pub(super) fn current_member(&mut self, name: String) -> Member<'_, R> {
        Member { name, size: self.left, archive: self }
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.archive.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.archive.reader.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(ended_early());
        }
        self.archive.left -= read as u64;
        Ok(read)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, size: &str) -> String {
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644)
    }

    fn members(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut archive = Archive::new(bytes)?;
        let mut members = Vec::new();
        while let Some(mut member) = archive.next_member()? {
            let mut content = Vec::new();
            member.read_to_end(&mut content)?;
            members.push((member.name, content));
        }
        Ok(members)
    }

    #[test]
    fn members_are_read_with_and_without_padding() {
        let text = format!("!<arch>\n{}abc\n{}de{}f", header("one", "3"), header("two/", "2"), header("three", "1"));
        let expected = [("one", "abc"), ("two", "de"), ("three", "f")];
        let found = members(text.as_bytes()).unwrap();
        assert_eq!(found, expected.map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec())));
    }

    #[test]
    fn members_that_nobody_reads_are_skipped() {
        let text = format!("!<arch>\n{}abc\n{}de", header("one", "3"), header("two", "2"));
        let mut archive = Archive::new(text.as_bytes()).unwrap();
        assert_eq!(archive.next_member().unwrap().unwrap().name, "one");
        let member = archive.next_member().unwrap().unwrap();
        assert_eq!((member.name.as_str(), member.size), ("two", 2));
        assert!(archive.next_member().unwrap().is_none());
    }

    #[test]
    fn damage_is_an_error() {
        let cases: [(&str, String); 8] = [
            ("empty", String::new()),
            ("short magic", "!<arch>".to_owned()),
            ("other magic", "!<arcH>\n".to_owned() + &header("one", "0")),
            ("header cut", format!("!<arch>\n{}", &header("one", "3")[..30])),
            ("header end", format!("!<arch>\n{}abc\n", header("one", "3").replace('`', "x"))),
            ("content cut", format!("!<arch>\n{}ab", header("one", "3"))),
            ("negative size", format!("!<arch>\n{}abc\n", header("one", "-3"))),
            ("no size", format!("!<arch>\n{}abc\n", header("one", ""))),
        ];
        for (name, text) in cases {
            assert!(members(text.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_member_cut_short_is_an_error_even_when_skipped() {
        let text = format!("!<arch>\n{}abc", header("one", "300"));
        let mut archive = Archive::new(text.as_bytes()).unwrap();
        archive.next_member().unwrap();
        assert!(archive.next_member().is_err());
    }
}

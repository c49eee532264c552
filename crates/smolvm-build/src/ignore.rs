//! `.smolignore`, or else `.dockerignore`: what lies in the Smolfile's folder and is no part of a `source`.
//!
//! The rules are Docker's: <https://docs.docker.com/build/concepts/context/#dockerignore-files>. A pattern is about a path from the
//! Smolfile's folder, and about all that lies below what it names; the last pattern that fits decides; `!` takes back.

use std::io;
use std::path::Path;

use regex::Regex;
use smolvm_manifest::LocalSourceError;

use crate::files::read_small;

/// The names of the file, of which the first that exists counts.
const NAMES: [&str; 2] = [".smolignore", ".dockerignore"];

/// The rules of a folder.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    file: &'static str,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    line: usize,
    takes_back: bool,
    pattern: String,
    fits: Regex,
}

impl Ignored {
    /// The rules that lie in the Smolfile's folder; none where there is no such file.
    pub(crate) fn of(folder: &Path) -> Result<Self, LocalSourceError> {
        for file in NAMES {
            let unreadable = |reason| LocalSourceError::Unreadable { path: file.to_owned(), reason };
            return match read_small(&folder.join(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(unreadable(error)),
                Ok(bytes) => {
                    let text = String::from_utf8(bytes);
                    Self::parse(file, &text.map_err(|error| unreadable(io::Error::other(error)))?)
                }
            };
        }
        Ok(Self::default())
    }

    fn parse(file: &'static str, text: &str) -> Result<Self, LocalSourceError> {
        let mut rules = Vec::new();
        for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            if text.starts_with('#') || text.trim().is_empty() {
                continue;
            }
            let (takes_back, pattern) = match text.trim().strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, text.trim()),
            };
            let pattern = clean(pattern);
            let refused = |reason: &str| LocalSourceError::IgnoreFile { file, line, reason: reason.to_owned() };
            if takes_back && pattern.is_empty() {
                return Err(refused("a `!` with nothing behind it"));
            }
            let fits = Regex::new(&expression(&pattern))
                .map_err(|_| refused("a `[` that is not closed, or an odd range in it"))?;
            rules.push(Rule { line, takes_back, pattern, fits });
        }
        Ok(Self { file, rules })
    }

    /// Whether a path is left out, and by which file and line.
    pub(crate) fn leaves_out(&self, path: &str) -> Option<(&'static str, usize)> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let with_folders: Vec<&str> = ends.map(|end| &path[..end]).collect();
        let decides = |rule: &&Rule| with_folders.iter().any(|path| rule.fits.is_match(path));
        let rule = self.rules.iter().rev().find(decides)?;
        (!rule.takes_back).then_some((self.file, rule.line))
    }

    /// Whether something below a folder that is left out may have been taken back, so that it must be looked into.
    pub(crate) fn may_take_back_below(&self, folder: &str) -> bool {
        self.rules.iter().filter(|rule| rule.takes_back).any(|rule| {
            let mut names = rule.pattern.split('/');
            folder.split('/').all(|name| match names.next() {
                Some(pattern) => pattern.contains(['*', '?', '[', '\\']) || pattern == name,
                None => true,
            }) || rule.pattern.contains("**")
        })
    }
}

/// The path without what changes nothing: `/a/./b//c/../d/` is `a/b/d`.
fn clean(pattern: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in pattern.split('/').filter(|name| !matches!(*name, "" | ".")) {
        match (name, names.last()) {
            ("..", Some(last)) if *last != ".." => drop(names.pop()),
            _ => names.push(name),
        }
    }
    names.join("/")
}

/// The regular expression of a pattern: `*` and `?` end at a slash, `**` goes over any number of folders, `[…]` and `\` are as usual.
fn expression(pattern: &str) -> String {
    // A name may hold a line break.
    let mut text = "(?s)^".to_owned();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                let _ = letters.next_if_eq(&'/');
                text += if letters.peek().is_none() { ".*" } else { "(.*/)?" };
            }
            '*' => text += "[^/]*",
            '?' => text += "[^/]",
            '[' => text += &class(&mut letters),
            '\\' => text += &regex::escape(&letters.next().unwrap_or('\\').to_string()),
            _ => text += &regex::escape(&letter.to_string()),
        }
    }
    text + "$"
}

/// A set of letters, whose `[` has been read. One that does not end is no regular expression either.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = "[".to_owned();
    if letters.next_if_eq(&'^').is_some() {
        text.push('^');
    }
    while let Some(letter) = letters.next() {
        match letter {
            ']' => return text + "]",
            '-' => text.push('-'),
            '\\' => text += &regex::escape(&letters.next().unwrap_or('\\').to_string()),
            _ => text += &regex::escape(&letter.to_string()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, path: &str, expected: bool) {
        let ignored = Ignored::parse(".smolignore", rules).unwrap();
        assert_eq!(ignored.leaves_out(path).is_some(), expected, "`{path}` under {rules:?}");
    }

    /// The first rows are the examples of Docker's documentation.
    #[test]
    fn patterns() {
        let table = [
            ("# comment\n*/temp*", "somedir/temporary.txt", true),
            ("*/temp*", "somedir/temp", true),
            ("*/temp*", "temp", false),
            ("*/temp*", "a/b/temp", false),
            ("*/*/temp*", "somedir/subdir/temporary.txt", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.go", "a/b/c.go", true),
            ("**/*.go", "c.go", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "other.md", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
            // All below what is named; a slash at either end means nothing.
            ("node_modules", "node_modules/a/b", true),
            ("/node_modules/", "node_modules/a/b", true),
            ("node_modules", "a/node_modules", false),
            ("**/node_modules", "a/node_modules/b", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a/b\nc", true),
            ("**/.env", "a\nb/.env", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("conf\n!conf/kept", "conf/kept", false),
            ("conf\n!conf/kept", "conf/kept/below", false),
            ("conf\n!conf/kept", "conf/other", true),
            // Nothing but these is special.
            ("a.b", "axb", false),
            ("{a,b}", "a", false),
            ("a+(b)|$^", "a+(b)|$^", true),
            ("[a-c].txt", "b.txt", true),
            ("[^a-c].txt", "b.txt", false),
            ("[^a-c].txt", "d.txt", true),
            ("[a&&b].txt", "&.txt", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("  spaced  ", "spaced", true),
            (" # no comment", "# no comment", true),
            ("./a/../b", "b", true),
            ("../a", "a", false),
            ("", "a", false),
            ("\u{feff}a\r\nb\r\n", "b", true),
        ];
        for (rules, path, expected) in table {
            check(rules, path, expected);
        }
    }

    #[test]
    fn only_folders_that_may_hold_an_exception_are_looked_into() {
        let table = [
            ("conf\n!conf/kept", "conf", true),
            ("conf\n!conf/a/kept", "conf/a", true),
            ("conf\n!conf/a/kept", "conf/b", false),
            ("conf\n!*/kept", "conf", true),
            ("conf\n!**/kept", "conf/a/b/c", true),
            ("conf\n!other/kept", "conf", false),
            ("conf", "conf", false),
        ];
        for (rules, folder, expected) in table {
            let ignored = Ignored::parse(".smolignore", rules).unwrap();
            assert_eq!(ignored.may_take_back_below(folder), expected, "{folder} under {rules:?}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_told_with_its_line() {
        for (rules, line) in [("a\n[b\n", 2), ("!\n", 1), ("a\n\n# b\n[z-a]\n", 4)] {
            let error = Ignored::parse(".smolignore", rules).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line} of `.smolignore`")), "{error}");
        }
    }
}

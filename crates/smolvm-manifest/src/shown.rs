//! The text that error reports show: that of the file, without what must not be seen.

use std::fmt;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::yaml::Spans;

/// A file's text with every secret overwritten by as many `*`, so that places stay what they are.
pub(crate) struct ShownText {
    name: String,
    text: String,
}

impl ShownText {
    pub(crate) fn new(name: &str, text: &str, spans: &Spans) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        hide_private_keys(text, &mut bytes);
        hide_credentials_in_addresses(text, &mut bytes);
        hide_after_secret_keys(text, &mut bytes);
        for (pointer, span) in spans.iter() {
            let written = text.get(span.value.clone()).unwrap_or_default();
            if span.scalar && (is_secret(pointer) || (names_variable(pointer) && !is_variable(written))) {
                hide(&mut bytes, span.value.start, span.value.end);
            }
        }
        // Only whole characters are overwritten, each byte by an ASCII one.
        let text = String::from_utf8(bytes).unwrap_or_default();
        Self { name: name.to_owned(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ShownText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownText").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SourceCode for ShownText {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.as_str().read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}

/// Whether the value at this pointer is, or may by mistake be, a secret itself. The name of a variable or a file is none.
pub(crate) fn is_secret(pointer: &str) -> bool {
    let mut secret = false;
    for (depth, part) in pointer.split('/').skip(1).enumerate() {
        if secret && matches!(part, "from_env" | "from_file") {
            return false;
        }
        secret |= sounds_secret(part) || (depth == 0 && part == "secrets");
    }
    // A list of names under `run[].secrets` is no secret, and people need to see it.
    secret
}

/// Whether a variable's name belongs here. What is no such name may be the secret itself.
pub(crate) fn names_variable(pointer: &str) -> bool {
    pointer.ends_with("/from_env")
}

fn is_variable(written: &str) -> bool {
    written.trim_matches(['"', '\'']).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

const SECRET_WORDS: [&str; 4] = ["password", "passwd", "passwort", "passphrase"];

/// Whether a key's name says that its value should not be seen.
fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

fn hide(bytes: &mut [u8], start: usize, end: usize) {
    let end = end.min(bytes.len());
    for byte in &mut bytes[start.min(end)..end] {
        if !byte.is_ascii_whitespace() {
            *byte = b'*';
        }
    }
}

/// Overwrites from `-----BEGIN … PRIVATE KEY` to its end marker, or to the end of the file if there is none.
fn hide_private_keys(text: &str, bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = text[from..].find("PRIVATE KEY") {
        let start = from + found + "PRIVATE KEY".len();
        let end = text[start..].find("-----END").map_or(text.len(), |end| start + end);
        hide(bytes, start, end);
        from = text[end..].find('\n').map_or(text.len(), |line| end + line);
    }
}

/// Overwrites `user:password` in `https://user:password@host`.
fn hide_credentials_in_addresses(text: &str, bytes: &mut [u8]) {
    for (found, marker) in text.match_indices("://") {
        let start = found + marker.len();
        let host = &text[start..];
        let end = host.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | ',' | '}' | ']'));
        let host = &host[..end.unwrap_or(host.len())];
        if let Some(at) = host.rfind('@') {
            hide(bytes, start, start + at);
        }
    }
}

/// Overwrites what follows a key that sounds secret, with the deeper lines below it. The spans know better, but a file
/// that is no YAML has none.
fn hide_after_secret_keys(text: &str, bytes: &mut [u8]) {
    let mut start = 0;
    let mut below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let names_source = line.contains("from_env") || line.contains("from_file");
        below = below.filter(|&outer| line.trim().is_empty() || indent > outer);
        if below.is_some() && !names_source {
            hide(bytes, start, start + line.len());
        } else if let Some(colon) = secret_colon(line)
            && !names_source
        {
            hide(bytes, start + colon + 1, start + line.len());
            below = Some(indent);
        }
        start += line.len();
    }
}

/// Where the `:` after a key that sounds secret stands. In doubt it is one: the line may belong to a file that is no YAML.
fn secret_colon(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let colon_after = |(found, word): (usize, &str)| {
        let rest = &lower[found + word.len()..];
        let end = rest.find([':', ',', '{', '}', '[', ']', '/'])?;
        let is_key = rest[end..].starts_with(':') && !lower[..found].ends_with('/');
        is_key.then_some(found + word.len() + end)
    };
    SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word)).filter_map(colon_after).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        ShownText::new("Smolfile.yaml", text, &crate::yaml::spans(text)).text
    }

    #[test]
    fn a_value_that_sounds_secret_hides_nothing() {
        for text in [
            "files:\n  - {name: passwd, target: /x}\n",
            "files:\n  - {target: /etc/passwd, mode: 644}\n",
            "packages: [passwd, \"login:arm64\"]\n",
            "run:\n  - {command: passwd -l root, network: no}\n",
            "run:\n  - {command: [chpasswd], workdir: x}\n",
            "run:\n  - {command: cp /etc/passwd:old /tmp, user: dev}\n",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_password_is_hidden_wherever_its_key_stands() {
        for text in [
            "ssh: {password: CANARY}",
            "users: [{name: passwd, password: CANARY}]",
            "users: [{name: passwd, groups: [adm], \"password\" : CANARY}]",
            // No YAML.
            "ssh: password: CANARY",
            "ssh: {name: passwd, password:CANARY",
            "ssh: [ 'root-password': CANARY",
            "ssh: {the Password of root: CANARY",
            "ssh: [\npassword:\n  CANARY",
        ] {
            assert!(!shown(text).contains("CANARY"), "{}", shown(text));
        }
    }
}

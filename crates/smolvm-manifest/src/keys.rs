//! Public keys, as `authorized_keys` files hold them.

use ssh_key::PublicKey;

/// Why a line is no public key. Never holds the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// It is, or begins, a private key.
    Private,
    /// The options in front of the key have an open quote.
    Options,
    /// It is an OpenSSH key that cannot be decoded.
    Broken,
    /// It is nothing of the sort.
    Other,
}

/// Whether an entry of `authorized_keys` is meant as a key, and not as the path of a file.
pub(crate) fn looks_like_key(entry: &str) -> bool {
    entry.contains('\n')
        || entry.contains("PRIVATE KEY")
        || entry.split_whitespace().any(|word| word.starts_with("AAAA"))
        || (is_key_type(entry.split_whitespace().next().unwrap_or_default()) && entry.trim().contains(' '))
}

/// The lines of a file or entry that hold keys, each checked. Options in front of a key and the comment behind it stay.
pub(crate) fn parse_lines(text: &str) -> Result<Vec<String>, NoKey> {
    if text.contains("PRIVATE KEY") {
        return Err(NoKey::Private);
    }
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| parse_line(line).map(|()| line.to_owned()))
        .collect()
}

fn parse_line(line: &str) -> Result<(), NoKey> {
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err(NoKey::Other);
    }
    // ssh-key refuses options that are separated by commas, so they are split off here.
    let key = if is_key_type(first_word(line)) { line } else { after_options(line)? };
    if !is_key_type(first_word(key)) {
        return Err(NoKey::Other);
    }
    // Between type and key OpenSSH takes any white space, ssh-key one space.
    let spaced = key.split_whitespace().collect::<Vec<_>>().join(" ");
    PublicKey::from_openssh(&spaced).map(|_| ()).map_err(|_| NoKey::Broken)
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// What follows the options: they end at the first white space that is not in quotes.
fn after_options(line: &str) -> Result<&str, NoKey> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c.is_whitespace() && !quoted => return Ok(line[at..].trim_start()),
            _ => {}
        }
    }
    Err(if quoted { NoKey::Options } else { NoKey::Other })
}

fn is_key_type(word: &str) -> bool {
    matches!(
        word,
        "ssh-ed25519"
            | "ssh-rsa"
            | "ecdsa-sha2-nistp256"
            | "ecdsa-sha2-nistp384"
            | "ecdsa-sha2-nistp521"
            | "sk-ssh-ed25519@openssh.com"
            | "sk-ecdsa-sha2-nistp256@openssh.com"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn options_and_comments_stay() {
        let line =
            format!("from=\"10.0.0.0/8,192.168.0.1\",command=\"echo \\\"a b\\\"\",no-pty {KEY} me@host and more");
        assert_eq!(parse_lines(&line), Ok(vec![line.clone()]));
        let file = format!("# mine\n\n  {KEY} me@host\r\n{KEY}\n");
        assert_eq!(parse_lines(&file), Ok(vec![format!("{KEY} me@host"), KEY.to_owned()]));
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let table = [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza", NoKey::Private),
            ("ssh-ed25519 AAAAC3Nza", NoKey::Broken),
            ("ssh-dss AAAAB3NzaC1kc3M= old", NoKey::Other),
            ("command=\"echo ssh-ed25519 AAAA", NoKey::Options),
            ("hello world", NoKey::Other),
            ("hello", NoKey::Other),
        ];
        for (text, expected) in table {
            assert_eq!(parse_lines(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn paths_are_no_keys() {
        for path in ["~/.ssh/id_ed25519.pub", "keys/dev.pub", "my keys/dev.pub", "ssh-rsa.pub"] {
            assert!(!looks_like_key(path), "{path}");
        }
        for key in [KEY, "ssh-rsa garbage", "no-pty ssh-rsa AAAAB3"] {
            assert!(looks_like_key(key), "{key}");
        }
    }
}

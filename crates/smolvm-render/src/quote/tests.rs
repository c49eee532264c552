use std::process::Command;

use proptest::prelude::*;

use super::*;

/// What has gone wrong in generated scripts before.
const HOSTILE: [&str; 22] = [
    "",
    "plain",
    " leading and trailing ",
    "-n",
    "--help",
    "it's",
    "'",
    "''",
    "\"double\"",
    "$HOME ${HOME} $(id)",
    "`id`",
    "back\\slash",
    "ends in \\",
    "\\\"",
    "\\'",
    "tab\there",
    "# no comment",
    "a;b|c&d<e>f(g)",
    "*?[a-z]~!{x,y}",
    "<<EOF",
    "ünïcödé — 漢字 🦀",
    "%s%n=%%",
];

fn everything() -> impl Iterator<Item = String> {
    let breaks = ["line\nbreak", "\n", "cr\rlf\n"].map(str::to_owned);
    HOSTILE.into_iter().map(str::to_owned).chain(breaks)
}

#[test]
fn every_shell_reads_one_word_and_nothing_else() {
    for interpreter in [&["dash"][..], &["bash"], &["busybox", "ash"]] {
        let values: Vec<String> = everything().collect();
        let words: Vec<String> = values.iter().map(|value| shell(value)).collect();
        let script = format!("printf '%s\\001' {}", words.join(" "));
        let Ok(output) = Command::new(interpreter[0]).args(&interpreter[1..]).args(["-c", &script]).output() else {
            eprintln!("skipped for {}: it is not installed", interpreter[0]);
            continue;
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let read: Vec<&str> = text.strip_suffix('\u{1}').unwrap().split('\u{1}').collect();
        assert_eq!(read, values, "{interpreter:?}");
    }
}

#[test]
fn words_that_need_no_quotes_have_none() {
    assert_eq!(shell("libc6:i386=2.36-9+deb12u7"), "libc6:i386=2.36-9+deb12u7");
    assert_eq!(shell("it's"), r"'it'\''s'");
    assert_eq!(expanded("/srv/app"), "/srv/app");
    assert_eq!(expanded("/srv/my $app"), r#""/srv/my \$app""#);
    assert_eq!(json(&["a\"b\nc".to_owned()]), r#"["a\"b\nc"]"#);
}

/// Docker's reading of a word that it expands variables in: quotes go, a backslash keeps what follows, and inside double
/// quotes only before a quote, a dollar sign and a backslash. An unescaped dollar sign would expand.
fn docker_reads(word: &str) -> Option<String> {
    let mut read = String::new();
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '$' => return None,
            '\'' => loop {
                match characters.next()? {
                    '\'' => break,
                    inner => read.push(inner),
                }
            },
            '"' => loop {
                match characters.next()? {
                    '"' => break,
                    '$' => return None,
                    '\\' => match characters.next()? {
                        escaped @ ('"' | '$' | '\\') => read.push(escaped),
                        other => read.extend(['\\', other]),
                    },
                    inner => read.push(inner),
                }
            },
            '\\' => read.push(characters.next()?),
            other => read.push(other),
        }
    }
    Some(read)
}

/// How sshd splits a line into arguments (`argv_split` of OpenSSH 8.7 and newer).
fn sshd_reads(line: &str) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let mut characters = line.chars().peekable();
    while let Some(&first) = characters.peek() {
        if matches!(first, ' ' | '\t') {
            characters.next();
            continue;
        }
        if first == '#' {
            break;
        }
        let mut argument = String::new();
        let mut quote = None;
        while let Some(&character) = characters.peek() {
            match (character, quote) {
                (' ' | '\t', None) => break,
                ('\\', _) => {
                    characters.next();
                    match characters.peek() {
                        Some(&escaped)
                            if matches!(escaped, '\'' | '"' | '\\') || (quote.is_none() && escaped == ' ') =>
                        {
                            argument.push(escaped);
                        }
                        _ => {
                            argument.push('\\');
                            continue;
                        }
                    }
                }
                ('"' | '\'', None) => quote = Some(character),
                (end, Some(start)) if end == start => quote = None,
                _ => argument.push(character),
            }
            characters.next();
        }
        if quote.is_some() {
            return None;
        }
        arguments.push(argument);
    }
    Some(arguments)
}

#[test]
fn docker_and_sshd_read_hostile_values_as_they_are() {
    for value in HOSTILE {
        assert_eq!(docker_reads(&expanded(value)).as_deref(), Some(value));
        assert_eq!(sshd_reads(&format!(" {} {}", sshd(value), sshd("B=b"))), Some(vec![value.into(), "B=b".into()]));
    }
    for value in everything() {
        let paths: Vec<String> = serde_json::from_str(&expanded_json(&[value.clone(), "/x".to_owned()])).unwrap();
        assert_eq!(docker_reads(&paths[0]), Some(value.clone()));
        let words: Vec<String> = serde_json::from_str(&json(std::slice::from_ref(&value))).unwrap();
        assert_eq!(words, [value]);
    }
}

proptest! {
    #[test]
    fn any_line_survives_docker_and_sshd(value in "[^\n\0]*") {
        prop_assert_eq!(docker_reads(&expanded(&value)), Some(value.clone()));
        prop_assert_eq!(sshd_reads(&sshd(&value)), Some(vec![value.clone()]));
        let paths: Vec<String> = serde_json::from_str(&expanded_json(std::slice::from_ref(&value))).unwrap();
        prop_assert_eq!(docker_reads(&paths[0]), Some(value));
    }
}

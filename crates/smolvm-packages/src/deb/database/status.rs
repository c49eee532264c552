//! The status file: one stanza per package.

use crate::deb::control::Paragraph;

/// The order in which dpkg writes the fields it knows; all others follow as they came.
const ORDER: [&str; 26] = [
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Config-Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Description",
];

/// The stanzas of a status file. What is no stanza is left out: dpkg itself will complain about it.
pub(super) fn read(text: &str) -> impl Iterator<Item = Paragraph> {
    text.split("\n\n")
        .filter_map(|stanza| Paragraph::parse(stanza).ok())
        .filter(|paragraph| paragraph.get("Package").is_some())
}

/// The text of a status file, sorted by package.
pub(super) fn write<'a>(paragraphs: impl Iterator<Item = &'a Paragraph>) -> String {
    let mut sorted: Vec<&Paragraph> = paragraphs.collect();
    sorted.sort_by_key(|paragraph| paragraph.get("Package"));
    let mut text = String::new();
    for paragraph in sorted {
        for name in ORDER {
            if let Some(value) = paragraph.get(name) {
                write_field(&mut text, name, value);
            }
        }
        for (name, value) in paragraph.fields() {
            if !ORDER.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                write_field(&mut text, name, value);
            }
        }
        text.push('\n');
    }
    text
}

fn write_field(text: &mut String, name: &str, value: &str) {
    let is_default = match name {
        "Essential" | "Protected" | "Multi-Arch" => value.eq_ignore_ascii_case("no"),
        _ => value.is_empty(),
    };
    if is_default {
        return;
    }
    text.push_str(name);
    text.push(':');
    match name {
        // dpkg writes dependencies on one line.
        "Replaces" | "Provides" | "Depends" | "Pre-Depends" | "Recommends" | "Suggests" | "Breaks" | "Conflicts"
        | "Enhances" => {
            for word in value.split_ascii_whitespace() {
                text.push(' ');
                text.push_str(word);
            }
        }
        _ => {
            if !value.starts_with('\n') {
                text.push(' ');
            }
            text.push_str(value);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written_in_dpkgs_order() {
        let text = "Package: b\nVersion: 1\nHomepage: x\nDepends: a (>= 1),\n c | d\nEssential: no\n\
                    Conffiles:\n /etc/b newconffile\nDescription: b\n more\n\nPackage: a\nStatus: install ok installed\n";
        let paragraphs: Vec<Paragraph> = read(text).collect();
        let expected = "Package: a\nStatus: install ok installed\n\nPackage: b\nVersion: 1\nDepends: a (>= 1), c | d\n\
                        Conffiles:\n /etc/b newconffile\nDescription: b\n more\nHomepage: x\n\n";
        assert_eq!(write(paragraphs.iter()), expected);
        let again: Vec<Paragraph> = read(expected).collect();
        assert_eq!(write(again.iter()), expected);
    }
}

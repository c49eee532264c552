//! Scripts that ran in the image, and what they speak of.

use std::collections::{BTreeMap, BTreeSet};

use super::{Database, EntryKind, Installed, InstalledImage, Places, Refusal, above, package_of};

/// The files of dpkg's database that run while packages are installed.
const KINDS: [&str; 3] = ["preinst", "postinst", "config"];

/// Folders that so many scripts name that it means nothing: what they look for there has a name of its own.
const COMMON: [&str; 15] = [
    "bin",
    "etc",
    "opt",
    "sbin",
    "usr",
    "usr/bin",
    "usr/games",
    "usr/include",
    "usr/lib",
    "usr/libexec",
    "usr/sbin",
    "usr/share",
    "var",
    "var/cache",
    "var/lib",
];

/// Packages whose scripts were read by a person, and look at nothing but what is their own, what a check here covers, and the base. What
/// other scripts look at cannot be told from their text: munin-node's runs a program that looks for a hundred others. A name that ends in `*`
/// stands for all that begin so.
const READ: [&str; 13] = [
    "ca-certificates",
    "iproute2",
    "libgssapi-krb5-2",
    "libpython3*",
    "libwrap0",
    "openssh-client",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "python3-minimal",
    "readline-common",
    "ucf",
];

/// The interpreter's own packages carry its version in their names: `python3.11-minimal`.
fn was_read(package: &str) -> bool {
    let is_interpreter = package.strip_prefix("python3.").is_some_and(|rest| {
        let version = rest.strip_suffix("-minimal").unwrap_or(rest);
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_interpreter
        || READ.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => package.starts_with(start),
            None => package == *name,
        })
}

/// Folders of what no script acts upon.
const TEXTS: [&str; 3] = ["usr/share/doc/", "usr/share/locale/", "usr/share/man/"];

/// The scripts that a clean build runs beside the added packages: those of the packages that it installs together with them, and those of
/// others that wait for triggers.
pub(super) struct Scripts {
    /// Each by its file's name, without comments.
    texts: Vec<(String, String)>,
    /// One that nobody has read.
    unread: Option<String>,
}

impl Scripts {
    pub(super) fn read(image: &InstalledImage<'_>, database: &Database) -> Self {
        let waiting = waiting(image);
        let runs = |package: &&Installed| {
            let name = package.control.name.as_str();
            image.together.contains(name) || waiting.contains(name)
        };
        let of = |package: &Installed| {
            let name = package.control.database_name();
            KINDS.map(|kind| {
                let text = image.read(&format!("var/lib/dpkg/info/{name}.{kind}"))?;
                Some((format!("{name}.{kind}"), without_comments(&String::from_utf8_lossy(&text))))
            })
        };
        let texts = database.packages().filter(runs).flat_map(of).flatten().collect();
        let is_unread = |package: &&Installed| {
            image.together.contains(package.control.name.as_str()) && !was_read(&package.control.name)
        };
        let unread = database.packages().filter(is_unread).flat_map(of).flatten().map(|(name, _)| name).next();
        Self { texts, unread }
    }

    /// No script may speak of a package that is added, of a program or another file in a common folder, nor of a folder that something is
    /// added to.
    pub(super) fn check(&self, image: &InstalledImage<'_>, places: &Places<'_>) -> Result<(), Refusal> {
        if let Some(script) = self.unread.clone() {
            return Err(Refusal::Unread { script });
        }
        for (word, package) in words(image, places) {
            if let Some((script, _)) = self.texts.iter().find(|(_, text)| speaks_of(text, &word)) {
                let (script, package) = (script.clone(), package.to_owned());
                return Err(Refusal::Script { script, word, package });
            }
        }
        Ok(())
    }
}

/// The names that scripts might look for, and the folders that they might look through, each with the package that brings it.
fn words<'p>(image: &InstalledImage<'_>, places: &Places<'p>) -> BTreeMap<String, &'p str> {
    let mut words = BTreeMap::new();
    for (path, owners) in &places.0 {
        let (package, entry) = (owners[0].0.control.name.as_str(), owners[0].1);
        words.insert(package.to_owned(), package);
        if entry.kind == EntryKind::Directory || TEXTS.iter().any(|texts| path.starts_with(texts)) {
            continue;
        }
        if let Some((folder, name)) = path.rsplit_once('/')
            && is_common(folder)
        {
            words.insert(name.to_owned(), package);
        }
        for folder in std::iter::successors(above(path), |folder| above(folder)) {
            // Below a folder that is new, everything is.
            let is_first =
                image.tree.get(folder).is_some() || above(folder).is_none_or(|above| image.tree.get(above).is_some());
            if is_first && !is_common(folder) {
                words.insert(format!("/{folder}"), package);
            }
        }
    }
    words
}

fn is_common(folder: &str) -> bool {
    let is_of_libraries = |rest: &str| rest.contains("-linux-gnu") && !rest.contains('/');
    COMMON.contains(&folder) || folder.strip_prefix("usr/lib/").is_some_and(is_of_libraries)
}

/// The packages that wait for a trigger, which their scripts then act on.
fn waiting(image: &InstalledImage<'_>) -> BTreeSet<String> {
    const FOLDER: &str = "var/lib/dpkg/triggers";
    let records = image.tree.children(FOLDER).filter(|(name, ..)| !["Lock", "Unincorp"].contains(name));
    let text = |(name, ..): (&str, _, _)| image.read(&format!("{FOLDER}/{name}")).unwrap_or_default();
    let texts: Vec<Vec<u8>> = records.map(text).collect();
    let lines = texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
    // In `File`, the path comes first.
    lines
        .filter_map(|line| Some(package_of(std::str::from_utf8(line).ok()?.split(' ').next_back()?).to_owned()))
        .collect()
}

fn without_comments(script: &str) -> String {
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a text has a word, or a path as a whole or with something below it.
fn speaks_of(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || "_+-".contains(character);
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !(after.is_some_and(is_part) || !word.starts_with('/') && before.is_some_and(is_part))
    })
}

#[cfg(test)]
mod tests {
    use super::{speaks_of, was_read};

    #[test]
    fn packages_count_as_read_by_name() {
        for package in ["openssh-server", "python3", "python3.13", "python3.11-minimal", "libpython3.11-stdlib"] {
            assert!(was_read(package), "{package}");
        }
        for package in ["openssh-server2", "python3-pip", "python3.x", "munin-node", ""] {
            assert!(!was_read(package), "{package}");
        }
    }

    #[test]
    fn words_are_found_where_they_stand_alone() {
        for (text, word, expected) in [
            ("if command -v jq; then", "jq", true),
            ("/usr/bin/jq.real", "jq", true),
            ("libjq1 jq-tools my-jq", "jq", false),
            ("for f in $DPKG_ROOT/etc/app.d/*", "/etc/app.d", true),
            ("rm -f /etc/app.d.old /etc/app.d2", "/etc/app.d", true),
            ("rm -f /etc/app.d2", "/etc/app.d", false),
            ("", "jq", false),
        ] {
            assert_eq!(speaks_of(text, word), expected, "{word} in {text}");
        }
    }
}

//! Triggers: which package wants to hear of which files and events, and what happened since.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use miette::Diagnostic;
use smolvm_sandbox::SandboxError;
use thiserror::Error;

use super::{DatabaseFile, ReadImage, text};

/// Who is interested in what, as in `triggers/File` and the files named after triggers.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    /// Paths with a leading slash, in the order in which interest was first expressed.
    files: Vec<(String, Interest)>,
    /// How often a path occurs in `files`: most paths that are asked for do not.
    file_paths: HashMap<String, usize>,
    named: BTreeMap<String, Vec<Interest>>,
    /// Triggers in the order in which they were set off, and the packages that wait for each; `-` stands for nobody.
    activated: Vec<(String, Vec<String>)>,
    files_changed: bool,
    named_changed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Interest {
    /// As in the database: with the architecture where that is part of the name.
    package: String,
    /// Those who set the trigger off do not wait.
    noawait: bool,
}

/// A `triggers` file that dpkg would not accept.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
#[error("the package {package} cannot be installed: its triggers file has the line `{line}`")]
#[diagnostic(
    code(smolvm::deb::triggers),
    help("such a package is broken or hostile, and is not installed; take another version, or tell its publisher")
)]
pub struct TriggerError {
    package: String,
    line: String,
}

/// The triggers that a package's `triggers` file names.
#[derive(Debug, Default)]
pub(crate) struct TriggerNames<'a> {
    /// Those that it sets off.
    pub(crate) activated: Vec<&'a str>,
    /// Those that it waits for.
    pub(crate) interests: Vec<&'a str>,
}

impl<'a> TriggerNames<'a> {
    /// Reads a `triggers` file.
    pub(crate) fn parse(directives: &'a str, package: &str) -> Result<Self, TriggerError> {
        let mut names = Self::default();
        for directive in parse(directives, package)? {
            match directive {
                Directive::Activate { name } => names.activated.push(name),
                Directive::Interest { name, .. } => names.interests.push(name),
            }
        }
        Ok(names)
    }
}

impl Triggers {
    /// Reads what the image has.
    pub(super) fn load(folder: &str, read: &mut ReadImage<'_>) -> Result<Self, SandboxError> {
        let mut triggers = Self::default();
        for line in text(read, &format!("{folder}/triggers/File"))?.unwrap_or_default().lines() {
            if let Some((path, interest)) = line.split_once(' ') {
                *triggers.file_paths.entry(path.to_owned()).or_default() += 1;
                triggers.files.push((path.to_owned(), Interest::parse(interest)));
            }
        }
        Ok(triggers)
    }

    /// Sets off what a package's `triggers` file activates. Who would wait for it is not there yet: dpkg sets it off
    /// again when it configures the package.
    pub(super) fn activate_named(&mut self, directives: &str, package: &str) -> Result<(), TriggerError> {
        for directive in parse(directives, package)? {
            if let Directive::Activate { name } = directive {
                self.activate(name, "-");
            }
        }
        Ok(())
    }

    /// Notes the interests that a package's `triggers` file expresses.
    pub(super) fn add_interests(&mut self, directives: &str, package: &str) -> Result<(), TriggerError> {
        for directive in parse(directives, package)? {
            if let Directive::Interest { name, noawait } = directive {
                self.add_interest(name, package, noawait);
            }
        }
        Ok(())
    }

    /// Sets off the triggers of those who are interested in a file.
    pub(super) fn activate_file(&mut self, path: &str, by: &str) {
        if self.files.is_empty() {
            return;
        }
        let path = format!("/{path}");
        // dpkg reads the record word by word; it could not read such a name.
        if self.file_paths.contains_key(&path) && path.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.activate(&path, by);
        }
    }

    /// A package that is interested in a path, or in a folder that it is in.
    pub(super) fn watcher(&self, path: &str) -> Option<&str> {
        let is_below = |watched: &str| {
            let rest = watched.strip_prefix('/').and_then(|watched| path.strip_prefix(watched));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.files.iter().find(|(watched, _)| is_below(watched)).map(|(_, interest)| interest.package.as_str())
    }

    /// Hands over the files that have to be written.
    pub(super) fn take_changes(
        &mut self,
        folder: &str,
        read: &mut ReadImage<'_>,
        changed: &mut BTreeMap<String, DatabaseFile>,
    ) -> Result<(), SandboxError> {
        for name in std::mem::take(&mut self.named_changed) {
            let path = format!("{folder}/triggers/{name}");
            let mut content = text(read, &path)?.unwrap_or_default();
            for interest in self.named.remove(&name).unwrap_or_default() {
                let _ = writeln!(content, "{interest}");
            }
            changed.insert(path, DatabaseFile::new(content));
        }
        if std::mem::take(&mut self.files_changed) {
            let mut content = String::new();
            for (path, interest) in &self.files {
                let _ = writeln!(content, "{path} {interest}");
            }
            changed.insert(format!("{folder}/triggers/File"), DatabaseFile::new(content));
        }
        if !self.activated.is_empty() {
            // `dpkg-trigger`, called by a script, may have left something there.
            let path = format!("{folder}/triggers/Unincorp");
            let mut content = text(read, &path)?.unwrap_or_default();
            for (trigger, waiting) in std::mem::take(&mut self.activated) {
                let _ = writeln!(content, "{trigger} {}", waiting.join(" "));
            }
            changed.insert(path, DatabaseFile::new(content));
        }
        Ok(())
    }

    fn add_interest(&mut self, name: &str, package: &str, noawait: bool) {
        let interest = Interest { package: package.to_owned(), noawait };
        if name.starts_with('/') {
            let known = self.files.iter().any(|(path, known)| path == name && known.package == package);
            if !known {
                *self.file_paths.entry(name.to_owned()).or_default() += 1;
                self.files.push((name.to_owned(), interest));
                self.files_changed = true;
            }
        } else {
            let interests = self.named.entry(name.to_owned()).or_default();
            interests.retain(|known| known.package != package);
            interests.push(interest);
            if !self.named_changed.iter().any(|known| known == name) {
                self.named_changed.push(name.to_owned());
            }
        }
    }

    fn activate(&mut self, name: &str, waiting: &str) {
        match self.activated.iter_mut().find(|(activated, _)| activated == name) {
            Some((_, all)) if all.iter().any(|known| known == waiting) => {}
            Some((_, all)) => all.push(waiting.to_owned()),
            None => self.activated.push((name.to_owned(), vec![waiting.to_owned()])),
        }
    }
}

impl Interest {
    fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((package, option)) => Self { package: package.to_owned(), noawait: option == "noawait" },
            None => Self { package: text.to_owned(), noawait: false },
        }
    }
}

impl std::fmt::Display for Interest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.package)?;
        f.write_str(if self.noawait { "/noawait" } else { "" })
    }
}

/// One line of a `triggers` file.
enum Directive<'a> {
    Interest { name: &'a str, noawait: bool },
    Activate { name: &'a str },
}

fn parse<'a>(directives: &'a str, package: &str) -> Result<Vec<Directive<'a>>, TriggerError> {
    let lines = directives.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let refused = || TriggerError { package: package.to_owned(), line: line.to_owned() };
            let (directive, name) = line.split_once([' ', '\t']).ok_or_else(refused)?;
            let name = name.trim_start();
            if !is_trigger_name(name) {
                return Err(refused());
            }
            match directive {
                "interest" | "interest-await" => Ok(Directive::Interest { name, noawait: false }),
                "interest-noawait" => Ok(Directive::Interest { name, noawait: true }),
                "activate" | "activate-await" | "activate-noawait" => Ok(Directive::Activate { name }),
                _ => Err(refused()),
            }
        })
        .collect()
}

/// A path, or a word that becomes a file's name and must not be that of a file that dpkg has there.
fn is_trigger_name(name: &str) -> bool {
    let is_graphic = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    match name.strip_prefix('/') {
        Some(path) => is_graphic && path.split('/').all(|component| !component.is_empty()),
        None => {
            is_graphic
                && !["File", "Lock", "Unincorp"].contains(&name)
                && name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(triggers: &mut Triggers, existing: &[(&str, &str)]) -> Vec<(String, String)> {
        let existing: HashMap<String, Vec<u8>> =
            existing.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let mut changed = BTreeMap::new();
        triggers.take_changes("d", &mut |path: &str| Ok(existing.get(path).cloned()), &mut changed).unwrap();
        changed.into_iter().map(|(path, file)| (path, String::from_utf8(file.content).unwrap())).collect()
    }

    #[test]
    fn interests_and_activations_are_written_as_dpkg_does() {
        let mut triggers = Triggers::default();
        triggers.add_interests("# comment\ninterest-noawait /usr/share/man\ninterest  ldconfig\n", "man-db").unwrap();
        triggers.activate_named("activate-noawait ldconfig\nactivate other\n", "libc6:amd64").unwrap();
        triggers.activate_file("usr/share/man", "x");
        triggers.activate_file("usr/share/man", "y");
        triggers.activate_file("usr/share", "y");
        let existing = [("d/triggers/Unincorp", "old -\n"), ("d/triggers/ldconfig", "libc-bin\n")];
        let expected = [
            ("d/triggers/File", "/usr/share/man man-db/noawait\n"),
            ("d/triggers/Unincorp", "old -\nldconfig -\nother -\n/usr/share/man x y\n"),
            ("d/triggers/ldconfig", "libc-bin\nman-db\n"),
        ];
        let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(changes(&mut triggers, &existing), expected);
        assert_eq!(changes(&mut triggers, &existing), []);
    }

    #[test]
    fn lines_that_dpkg_would_refuse_are_refused() {
        for line in [
            "interest",
            "interest ../../etc/cron.d/x",
            "interest a/b",
            "interest /a//b",
            "interest Unincorp",
            "interest File",
            "interest a b",
            "watch ldconfig",
        ] {
            assert!(Triggers::default().activate_named(line, "x").is_err(), "{line}");
        }
    }
}

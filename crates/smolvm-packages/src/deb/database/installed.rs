//! One package of the database.

use std::fmt::Write as _;

use crate::deb::control::Control;
use crate::deb::unpack::Conffile;

/// What dpkg writes in place of a conffile's digest until it has configured the package.
const NEW_CONFFILE: &str = "newconffile";

/// An installed package.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Its stanza of the status file.
    pub(crate) control: Control,
    /// Its files, in the order in which the package brought them.
    pub(super) files: Vec<String>,
}

/// A line of the field that lists a package's conffiles.
#[derive(Debug)]
pub(crate) struct ConffileRecord<'a> {
    pub(crate) conffile: &'a Conffile,
    /// What an earlier owner left.
    pub(crate) digest: Option<String>,
    /// Whether the file stays another package's.
    pub(crate) is_kept: bool,
}

impl Installed {
    /// Whether dpkg is done with it. Triggers that others have yet to run do not count against it.
    pub(crate) fn is_configured(&self) -> bool {
        let status = self.control.field("Status").unwrap_or_default();
        [" installed", " triggers-pending", " triggers-awaited"].iter().any(|state| status.ends_with(state))
    }

    /// Whether dpkg is done with it, triggers included.
    pub(crate) fn is_installed(&self) -> bool {
        self.control.field("Status").is_some_and(|status| status.ends_with(" installed"))
    }

    /// Whether a conffile of it is one that it no longer brings.
    pub(crate) fn has_obsolete_conffile(&self, path: &str) -> bool {
        self.conffile_lines().any(|(file, rest)| file == path && rest.split(' ').any(|word| word == "obsolete"))
    }

    /// The digest that dpkg noted for a conffile.
    pub(super) fn conffile_digest(&self, path: &str) -> Option<String> {
        let (_, rest) = self.conffile_lines().find(|(file, _)| *file == path)?;
        rest.split(' ').next().map(str::to_owned)
    }

    /// Path and what follows it.
    fn conffile_lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let field = self.control.field("Conffiles").unwrap_or_default();
        field.lines().filter_map(|line| line.trim_start().strip_prefix('/')?.split_once(' '))
    }

    /// Notes that a conffile is another package's from now on.
    pub(super) fn set_conffile_obsolete(&mut self, path: &str) {
        let mut field = String::new();
        for (file, rest) in self.conffile_lines() {
            let is_new = file == path && !rest.ends_with(" obsolete");
            let _ = write!(field, "\n /{file} {rest}{}", if is_new { " obsolete" } else { "" });
        }
        if !field.is_empty() {
            let mut paragraph = self.control.paragraph().clone();
            paragraph.set("Conffiles", field);
            self.control = self.control.with_paragraph(paragraph);
        }
    }
}

impl ConffileRecord<'_> {
    pub(super) fn line(&self) -> String {
        let digest = self.digest.as_deref().unwrap_or(NEW_CONFFILE);
        let obsolete = if self.is_kept { " obsolete" } else { "" };
        let remove = if self.conffile.remove_on_upgrade { " remove-on-upgrade" } else { "" };
        format!("\n /{} {digest}{obsolete}{remove}", self.conffile.path)
    }
}

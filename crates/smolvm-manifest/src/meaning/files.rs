//! `files`.

use std::path::{Component, Path};

use super::places::Places;
use super::{Meaning, Seen, below};
use crate::finding::Finding;
use crate::manifest::{FileContent, FileEntry, LocalKind, LocalSource, Owner, User};
use crate::surroundings::LocalSourceError;
use crate::written::{self, List, ModeText, OwnerText};

/// What the guest's kernel fills when it runs; a file there would be hidden.
const NOT_ON_DISK: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

impl Meaning<'_> {
    pub(super) fn files(&mut self, written: List<written::Entry>, users: &[User]) -> Vec<FileEntry> {
        let mut targets = Seen::new();
        let mut places = Places::new(users);
        let mut files = Vec::new();
        for (index, entry) in written.entries() {
            let pointer = format!("/files/{index}");
            let target = entry.target.0;
            let at_target = below(&pointer, "target");
            let again = targets.again(target.clone(), &at_target);
            let twice = again.is_some();
            if let Some(earlier) = again {
                self.add(
                    Finding::at("clash", &at_target, format!("two entries write `{target}`"))
                        .also(earlier, "the first")
                        .label("the second")
                        .help("keep one of the two"),
                );
            }
            if let Some(folder) = NOT_ON_DISK.iter().find(|folder| is_within(&target, folder)) {
                self.add(
                    Finding::at("path", &at_target, format!("`{target}` would be hidden when the image runs"))
                        .label(format!("the kernel fills {folder} at boot"))
                        .help("choose a target on the disk, such as one under /etc, /opt, /srv or /usr/local"),
                );
            }
            let content = match (entry.source, entry.content) {
                (Some(source), _) => match self.local_source(&below(&pointer, "source"), &source.0) {
                    Some(source) => FileContent::Local(source),
                    None => continue,
                },
                (None, content) => FileContent::Inline(content.unwrap_or_default()),
            };
            let mode = entry.mode.as_ref().and_then(|ModeText(text)| u32::from_str_radix(text, 8).ok());
            if let FileContent::Local(source) = &content
                && mode.is_some()
                && is_folder(source)
            {
                self.add(
                    Finding::at("clash", below(&pointer, "mode"), "`mode` says nothing about a folder")
                        .label("its files keep their own modes")
                        .help("remove `mode`, or list the file that needs it as an entry of its own"),
                );
            }
            if !twice && let Some(clash) = places.take(&at_target, &target, &content) {
                self.add(clash);
            }
            files.push(FileEntry { target, content, mode, owner: entry.owner.map(|owner| owner_of(&owner)) });
        }
        files
    }

    fn local_source(&mut self, pointer: &str, path: &str) -> Option<LocalSource> {
        let (message, label, help) = if let Some(reason) = leaves_the_folder(path) {
            (
                format!("the source `{path}` {reason}"),
                "outside",
                "copy the file into the folder of the Smolfile and name it relative to that".to_owned(),
            )
        } else {
            let error = match self.surroundings.local_source(Path::new(path)) {
                Ok(source) => return Some(source),
                Err(error) => error,
            };
            let (label, help) = match &error {
                LocalSourceError::Missing => ("does not exist", "a source is relative to the Smolfile's folder"),
                LocalSourceError::Outside => {
                    ("outside", "copy what the link leads to into the folder, in place of the link")
                }
                LocalSourceError::Unreadable { .. } => ("cannot be read", "make it readable, or leave it out"),
                LocalSourceError::Unsupported { .. } => ("cannot be copied", "remove it from the source"),
                LocalSourceError::Ignored { .. } => {
                    ("is ignored", "take that line out, or except this from it: a line `!PATH` below it")
                }
                LocalSourceError::IgnoreFile { .. } => {
                    ("cannot be read", "mend that line: patterns are those of a .dockerignore")
                }
                LocalSourceError::Name { .. } => ("cannot be copied", "rename it"),
            };
            (format!("the source `{path}` cannot be used: {error}"), label, help.to_owned())
        };
        self.add(Finding::at("source", pointer, message).label(label).help(help));
        None
    }
}

/// Why a path, taken by its letters alone, is not inside the folder.
fn leaves_the_folder(path: &str) -> Option<&'static str> {
    if path.starts_with('~') {
        return Some("is in your home folder");
    }
    for component in Path::new(path).components() {
        match component {
            Component::Prefix(_) | Component::RootDir => return Some("is an absolute path"),
            Component::ParentDir => return Some("has `..` in it"),
            Component::CurDir | Component::Normal(_) => {}
        }
    }
    None
}

fn is_within(target: &str, folder: &str) -> bool {
    target.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_folder(source: &LocalSource) -> bool {
    source.entries.first().is_some_and(|entry| entry.path.is_empty() && entry.kind == LocalKind::Directory)
}

fn owner_of(OwnerText(text): &OwnerText) -> Owner {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Owner { user: user.to_owned(), group: group.to_owned() }
}

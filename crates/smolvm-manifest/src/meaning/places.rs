//! What lies where in the image before `files` are placed, and what they put there: what cannot be both a file and a folder.

use std::collections::BTreeMap;

use crate::finding::{Finding, Place};
use crate::manifest::{FileContent, LocalKind, User};

/// Folders of Debian's and Ubuntu's `base-files`, in every image from the start. Not those that the kernel fills at boot: see
/// `NOT_ON_DISK`.
const BASE_FOLDERS: [&str; 43] = [
    "/bin",
    "/boot",
    "/etc",
    "/etc/default",
    "/etc/opt",
    "/etc/profile.d",
    "/etc/skel",
    "/home",
    "/lib",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/sbin",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/games",
    "/usr/include",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/games",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/local/src",
    "/usr/sbin",
    "/usr/share",
    "/usr/src",
    "/var",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/local",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/spool",
    "/var/tmp",
];

/// Who has what where.
#[derive(Debug)]
pub(super) struct Places {
    taken: BTreeMap<String, Taken>,
}

#[derive(Debug, Clone)]
struct Taken {
    kind: Kind,
    holder: Holder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    /// It may lead to either.
    Link,
}

#[derive(Debug, Clone)]
enum Holder {
    Base,
    HomeOf(String),
    /// The pointer of another entry's target.
    Entry(String),
}

impl Places {
    /// What is there before the first entry: the base's folders and the homes of users.
    pub(super) fn new(users: &[User]) -> Self {
        let folder = |holder| Taken { kind: Kind::Folder, holder };
        let homes = users.iter().map(|user| (user.home.clone(), folder(Holder::HomeOf(user.name.clone()))));
        let base = BASE_FOLDERS.iter().map(|path| ((*path).to_owned(), folder(Holder::Base)));
        Self { taken: homes.chain(base).collect() }
    }

    /// Puts an entry into its place, or tells the first clash with what is there.
    pub(super) fn take(&mut self, pointer: &str, target: &str, content: &FileContent) -> Option<Finding> {
        let mut nodes: Vec<(String, Kind)> = above(target).map(|path| (path.to_owned(), Kind::Folder)).collect();
        match content {
            FileContent::Inline(_) => nodes.push((target.to_owned(), Kind::File)),
            FileContent::Local(source) => nodes.extend(source.entries.iter().map(|entry| {
                let path = if entry.path.is_empty() { target.to_owned() } else { format!("{target}/{}", entry.path) };
                let kind = match entry.kind {
                    LocalKind::Directory => Kind::Folder,
                    LocalKind::File { .. } => Kind::File,
                    LocalKind::Symlink { .. } => Kind::Link,
                };
                (path, kind)
            })),
        }
        let folders_above = above(target).count();
        for (number, (path, kind)) in nodes.into_iter().enumerate() {
            match self.taken.get(&path) {
                // Where the rest goes, nobody knows here.
                Some(Taken { kind: Kind::Link, .. }) if number < folders_above => return None,
                Some(Taken { kind: Kind::File, holder }) if number < folders_above => {
                    return Some(below_a_file(pointer, target, &path, holder));
                }
                Some(Taken { kind: Kind::Folder, holder }) if kind != Kind::Folder => {
                    return Some(in_place_of_a_folder(pointer, &path, holder));
                }
                Some(Taken { kind: Kind::Folder, .. }) => {}
                // A later entry takes the place of an earlier one.
                _ => {
                    self.taken.insert(path, Taken { kind, holder: Holder::Entry(pointer.to_owned()) });
                }
            }
        }
        None
    }
}

/// The folders above a path, from the top.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(|(slash, _)| &path[..slash])
}

fn in_place_of_a_folder(pointer: &str, path: &str, holder: &Holder) -> Finding {
    let finding = |why: &str| Finding::at("clash", pointer, format!("`{path}` is to be a file, but {why}"));
    let name_the_file = format!("name the file itself: `{path}/NAME`");
    match holder {
        Holder::Base => {
            finding("every image has a folder there").label("a folder of the base system").help(name_the_file)
        }
        Holder::HomeOf(user) => {
            finding(&format!("the home folder of `{user}` is there")).label("a home folder").help(name_the_file)
        }
        Holder::Entry(earlier) => finding("another entry makes a folder there")
            .also(Place::Value(earlier.clone()), "makes the folder")
            .label("would be a file")
            .help("choose another target for one of the two"),
    }
}

fn below_a_file(pointer: &str, target: &str, file: &str, holder: &Holder) -> Finding {
    let finding = Finding::at("clash", pointer, format!("`{target}` cannot be: `{file}` is a file"))
        .label("needs a folder")
        .help("choose another target for one of the two");
    match holder {
        Holder::Entry(earlier) => finding.also(Place::Value(earlier.clone()), "makes the file"),
        Holder::Base | Holder::HomeOf(_) => finding,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::manifest::{LocalEntry, LocalSource};

    fn folder(entries: &[(&str, char)]) -> FileContent {
        let kind = |kind: char| match kind {
            '/' => LocalKind::Directory,
            '@' => LocalKind::Symlink { target: "elsewhere".to_owned() },
            _ => LocalKind::File { blake3: String::new(), size: 0, executable: false },
        };
        let root = [("", '/')];
        let entries =
            root.iter().chain(entries).map(|(path, of)| LocalEntry { path: (*path).to_owned(), kind: kind(*of) });
        FileContent::Local(LocalSource { root: PathBuf::new(), entries: entries.collect() })
    }

    fn file() -> FileContent {
        FileContent::Inline(String::new())
    }

    #[track_caller]
    fn check(entries: &[(&str, FileContent)], refused: Option<&str>) {
        let mut places = Places::new(&[]);
        let found: Vec<String> = entries
            .iter()
            .enumerate()
            .filter_map(|(index, (target, content))| places.take(&format!("/files/{index}/target"), target, content))
            .map(|finding| finding.message)
            .collect();
        assert_eq!(found, refused.map(str::to_owned).into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn folders_merge_and_files_replace_files() {
        let app = || folder(&[("bin", '/'), ("bin/run", '-'), ("conf", '-')]);
        check(&[("/etc", app()), ("/usr/local", app())], None);
        check(&[("/opt/app", app()), ("/opt/app", folder(&[("bin", '/'), ("bin/other", '-')]))], None);
        check(&[("/opt/app", app()), ("/opt/app/conf", file()), ("/opt/app/bin/run", file())], None);
        check(&[("/opt/app/conf", file()), ("/opt/app", app())], None);
    }

    #[test]
    fn a_file_and_a_folder_at_one_place_are_told_whichever_comes_first() {
        let app = || folder(&[("bin", '/'), ("bin/run", '-')]);
        let is_folder = "`/opt/app/bin` is to be a file, but another entry makes a folder there";
        check(&[("/opt/app", app()), ("/opt/app/bin", file())], Some(is_folder));
        check(&[("/opt/app/bin/x/y", file()), ("/opt/app", folder(&[("bin", '-')]))], Some(is_folder));
        check(&[("/opt/app/bin/x", file()), ("/opt/app/bin", file())], Some(is_folder));
        check(&[("/opt/app/bin/x", file()), ("/opt/app", folder(&[("bin", '@')]))], Some(is_folder));
        let is_file = "`/opt/app/bin/run/x` cannot be: `/opt/app/bin/run` is a file";
        check(&[("/opt/app", app()), ("/opt/app/bin/run/x", file())], Some(is_file));
        check(&[("/opt/app/bin/run", file()), ("/opt/app/bin/run/x", folder(&[]))], Some(is_file));
    }

    #[test]
    fn what_a_link_leads_to_is_not_judged() {
        check(&[("/opt/app", folder(&[("data", '@')])), ("/opt/app/data/x", file()), ("/opt/app/data", file())], None);
    }
}

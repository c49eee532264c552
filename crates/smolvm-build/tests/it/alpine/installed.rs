//! apk's own list of what is installed: `lib/apk/db/installed`.

use std::collections::BTreeMap;

/// A package as the list has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Installed {
    /// `Q1…`: of the package's control member, which names its scripts and triggers.
    pub(super) checksum: String,
    /// What else is said of the package, by letter.
    pub(super) fields: BTreeMap<char, String>,
    /// By path.
    pub(super) files: BTreeMap<String, Owned>,
}

/// A file or folder of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) owner: (u64, u64),
    pub(super) mode: u32,
    /// `Q1…`, of a file's content or a link's target; a folder has none.
    pub(super) checksum: Option<String>,
}

/// Reads the list.
pub(super) fn installed(text: &str) -> Vec<Installed> {
    text.split_terminator("\n\n").map(package).collect()
}

fn package(stanza: &str) -> Installed {
    let mut package = Installed::default();
    let (mut folder, mut path) = (String::new(), String::new());
    for line in stanza.lines() {
        let (letter, value) = (line.chars().next().unwrap(), &line[2..]);
        match letter {
            'C' => value.clone_into(&mut package.checksum),
            // The size of the package's file, which says nothing of what is in it.
            'S' => {}
            'F' => {
                value.clone_into(&mut folder);
                path.clone_from(&folder);
                package.files.insert(path.clone(), Owned { owner: (0, 0), mode: 0o755, checksum: None });
            }
            'R' => {
                path = if folder.is_empty() { value.to_owned() } else { format!("{folder}/{value}") };
                package.files.insert(path.clone(), Owned { owner: (0, 0), mode: 0o644, checksum: None });
            }
            'Z' => package.files.get_mut(&path).unwrap().checksum = Some(value.to_owned()),
            'a' | 'M' => {
                let mut parts = value.split(':');
                let mut next = || parts.next().unwrap();
                let file = package.files.get_mut(&path).unwrap();
                file.owner = (next().parse().unwrap(), next().parse().unwrap());
                file.mode = u32::from_str_radix(next(), 8).unwrap();
            }
            letter => {
                package.fields.insert(letter, value.to_owned());
            }
        }
    }
    package
}

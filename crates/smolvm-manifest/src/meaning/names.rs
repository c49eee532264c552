//! Names and paths: what is made up where nothing is written.

use std::path::PathBuf;

use super::Meaning;
use crate::finding::Finding;
use crate::manifest::Arch;
use crate::written::{ArchName, ImageName};

impl Meaning<'_> {
    pub(super) fn name(&self, written: Option<ImageName>) -> String {
        written.map_or_else(|| image_name_from(&self.surroundings.folder_name().unwrap_or_default()), |name| name.0)
    }

    pub(super) fn arch(&mut self, written: Option<ArchName>) -> Option<Arch> {
        if let Some(ArchName(name)) = written {
            return Arch::ALL.into_iter().find(|arch| arch.as_str() == name);
        }
        let arch = self.surroundings.host_arch();
        if arch.is_none() {
            self.add(
                Finding::at("arch", "", "this machine's architecture is none that an image can have")
                    .label("names no `arch`")
                    .help("say which one you want: `arch: amd64` or `arch: arm64`"),
            );
        }
        arch
    }
}

/// A folder's name made to fit an image: `[a-z0-9][a-z0-9._-]*`, 64 characters at most.
pub fn image_name_from(folder: &str) -> String {
    let fitting: String = folder
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    let name: String = fitting.trim_start_matches(['.', '_', '-']).chars().take(64).collect();
    let name = name.trim_end_matches(['.', '_', '-']);
    if name.is_empty() { "image".to_owned() } else { name.to_owned() }
}

/// An image's name made to fit a host: letters, digits and `-`, 63 characters at most.
pub(super) fn host_name_from(name: &str) -> String {
    let fitting: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let fitting = fitting.trim_matches('-');
    if fitting.is_empty() { "localhost".to_owned() } else { fitting.to_owned() }
}

/// A path with `~` replaced.
pub(super) fn expand_home(path: &str, home: Option<PathBuf>) -> Result<PathBuf, &'static str> {
    match path.strip_prefix('~') {
        None => Ok(PathBuf::from(path)),
        Some("") => home.ok_or("no home folder is known"),
        Some(rest) => match rest.strip_prefix('/') {
            Some(rest) => Ok(home.ok_or("no home folder is known")?.join(rest)),
            None => Err("the home folder of another user is not looked up"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_made_to_fit() {
        let table = [
            ("team-dev", "team-dev"),
            ("My Project", "my-project"),
            (".config", "config"),
            ("Ünïcode", "n-code"),
            ("", "image"),
            ("___", "image"),
            ("a.b_c", "a.b_c"),
        ];
        for (folder, name) in table {
            assert_eq!(image_name_from(folder), name, "{folder}");
        }
        assert_eq!(image_name_from(&"x".repeat(200)).len(), 64);
    }

    #[test]
    fn image_names_are_made_to_fit_a_host() {
        for (name, host) in [("team-dev", "team-dev"), ("a.b_c", "a-b-c"), ("0..", "0"), ("x", "x")] {
            assert_eq!(host_name_from(name), host, "{name}");
        }
        assert_eq!(host_name_from(&"x".repeat(64)).len(), 63);
    }

    #[test]
    fn home_is_expanded() {
        let home = || Some(PathBuf::from("/home/me"));
        assert_eq!(expand_home("~/.ssh/k.pub", home()), Ok(PathBuf::from("/home/me/.ssh/k.pub")));
        assert_eq!(expand_home("keys/~x", home()), Ok(PathBuf::from("keys/~x")));
        assert!(expand_home("~/k", None).is_err());
        assert!(expand_home("~other/k", home()).is_err());
    }
}

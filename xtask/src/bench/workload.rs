//! W1, the work that is measured, and its variations.

use std::path::{Path, PathBuf};

use crate::Result;

/// The packages of W1; the base system and what these depend on come with them, what they recommend does not.
pub(super) const PACKAGES: [&str; 6] = ["openssh-server", "iproute2", "curl", "bash", "ca-certificates", "python3"];
/// The size of its file system.
pub(super) const MEBIBYTES: u32 = 2048;

/// W1 with what the rows change in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Smolfile {
    /// A package more.
    pub(super) package: Option<&'static str>,
    /// The value of the one variable.
    pub(super) value: String,
    /// The lines of `authorized_keys`.
    pub(super) key: Option<String>,
    /// What the file of 1 KB begins with.
    pub(super) content: String,
    /// A kernel to take as it is, instead of Debian's package with its modules.
    pub(super) kernel: Option<PathBuf>,
}

impl Smolfile {
    /// Writes it, and the file beside it, into this folder; gives the path of the manifest. A lock that is there stays.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs_err::create_dir_all(folder)?;
        fs_err::write(folder.join("file"), format!("{:.<1024}", self.content))?;
        if let Some(kernel) = &self.kernel {
            fs_err::copy(kernel, folder.join("kernel"))?;
        }
        let path = folder.join("Smolfile.yaml");
        fs_err::write(&path, self.text(&folder_name(folder)))?;
        Ok(path)
    }

    fn text(&self, name: &str) -> String {
        let packages: Vec<&str> = PACKAGES.into_iter().chain(self.package).collect();
        let value = if self.value.is_empty() { "first" } else { &self.value };
        let keys = match &self.key {
            Some(key) => format!("ssh: {{authorized_keys: [\"{key}\"]}}\n"),
            None => String::new(),
        };
        let kernel = if self.kernel.is_some() { "kernel: {path: kernel}\n" } else { "" };
        format!(
            "name: {name}\nbase: debian:bookworm\narch: amd64\nsize: {MEBIBYTES}MiB\npackages: [{}]\nenv: {{VALUE: \"{value}\"}}\n{keys}{kernel}files:\n  - {{source: file, target: /etc/file}}\n",
            packages.join(", ")
        )
    }
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_was_changed() {
        let first = Smolfile::default().text("w1");
        assert!(first.contains("name: w1\n") && first.contains("size: 2048MiB\n"), "{first}");
        assert!(first.contains("[openssh-server, iproute2, curl, bash, ca-certificates, python3]\n"), "{first}");
        assert!(!first.contains("authorized_keys"), "{first}");
        let other = Smolfile {
            package: Some("jq"),
            value: "second".to_owned(),
            key: Some("ssh-ed25519 A".to_owned()),
            ..Smolfile::default()
        };
        let other = other.text("w1");
        for part in ["python3, jq]\n", "{VALUE: \"second\"}", "ssh: {authorized_keys: [\"ssh-ed25519 A\"]}\n"] {
            assert!(other.contains(part), "{part:?} is not in\n{other}");
        }
    }
}

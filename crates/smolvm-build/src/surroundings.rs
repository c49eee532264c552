//! The real world around a Smolfile: its folder, the home folder, the environment.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use smolvm_manifest::{Arch, LocalEntry, LocalKind, LocalSource, LocalSourceError, Surroundings};
use walkdir::{DirEntry, WalkDir};

use crate::Host;

/// A Smolfile's folder on a host.
#[derive(Debug)]
pub(crate) struct HostSurroundings<'a> {
    folder: PathBuf,
    host: &'a Host,
}

impl<'a> HostSurroundings<'a> {
    pub(crate) fn of(smolfile: &Path, host: &'a Host) -> Self {
        let folder = match smolfile.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { folder, host }
    }
}

impl Surroundings for HostSurroundings<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Not fs-err: the report names the path as the Smolfile has it.
        std::fs::read(self.folder.join(path))
    }

    fn local_source(&self, path: &Path) -> Result<LocalSource, LocalSourceError> {
        if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(LocalSourceError::Outside);
        }
        let unreadable = |reason: io::Error| match reason.kind() {
            io::ErrorKind::NotFound => LocalSourceError::Missing,
            _ => LocalSourceError::Unreadable { path: path.display().to_string(), reason },
        };
        let root = self.folder.join(path).canonicalize().map_err(unreadable)?;
        if !root.starts_with(self.folder.canonicalize().map_err(unreadable)?) {
            return Err(LocalSourceError::Outside);
        }
        let entries = WalkDir::new(&root)
            .sort_by_file_name()
            .into_iter()
            .map(|entry| local_entry(&root, path, entry))
            .collect::<Result<_, _>>()?;
        Ok(LocalSource { root, entries })
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.host.variable(name).cloned()
    }

    fn home(&self) -> Option<PathBuf> {
        self.host.home().map(Path::to_owned)
    }

    fn folder_name(&self) -> Option<String> {
        Some(self.folder.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned())
    }

    fn host_arch(&self) -> Option<Arch> {
        Host::arch()
    }
}

/// One node of a walk; `shown` is the source as the Smolfile has it.
fn local_entry(root: &Path, shown: &Path, entry: walkdir::Result<DirEntry>) -> Result<LocalEntry, LocalSourceError> {
    let entry = entry.map_err(|error| {
        let path = error.path().and_then(|path| path.strip_prefix(root).ok()).unwrap_or(Path::new(""));
        LocalSourceError::Unreadable { path: shown.join(path).display().to_string(), reason: error.into() }
    })?;
    let relative = entry.path().strip_prefix(root).expect("a walk stays below its root");
    let named = || {
        if relative == Path::new("") { shown.to_owned() } else { shown.join(relative) }.to_string_lossy().into_owned()
    };
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| LocalSourceError::Name { path: named() });
    let unreadable = |reason| LocalSourceError::Unreadable { path: named(), reason };
    let kind = if entry.file_type().is_dir() {
        LocalKind::Directory
    } else if entry.file_type().is_symlink() {
        LocalKind::Symlink { target: text(&std::fs::read_link(entry.path()).map_err(unreadable)?)? }
    } else if entry.file_type().is_file() {
        digested(entry.path()).map_err(unreadable)?
    } else {
        return Err(LocalSourceError::Unsupported { path: named(), kind: "pipe, socket or device" });
    };
    Ok(LocalEntry { path: text(relative)?, kind })
}

fn digested(path: &Path) -> io::Result<LocalKind> {
    let metadata = std::fs::metadata(path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap(path)?;
    Ok(LocalKind::File {
        blake3: hasher.finalize().to_hex().to_string(),
        size: metadata.len(),
        executable: is_executable(&metadata),
    })
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::SystemTime;

    use super::*;

    fn listing(source: &LocalSource) -> Vec<String> {
        let line = |entry: &LocalEntry| match &entry.kind {
            LocalKind::Directory => format!("{}/", entry.path),
            LocalKind::File { size, executable, .. } => format!("{} {size} {executable}", entry.path),
            LocalKind::Symlink { target } => format!("{} -> {target}", entry.path),
        };
        source.entries.iter().map(line).collect()
    }

    #[test]
    fn a_folder_is_walked_in_order_and_only_the_executable_bit_counts() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        fs_err::create_dir_all(conf.join("b")).unwrap();
        fs_err::write(conf.join("b/run"), "#!").unwrap();
        fs_err::set_permissions(conf.join("b/run"), std::fs::Permissions::from_mode(0o740)).unwrap();
        fs_err::write(conf.join("a"), "text").unwrap();
        symlink("../elsewhere", conf.join("link")).unwrap();
        let host = Host::new([], SystemTime::UNIX_EPOCH);
        let surroundings = HostSurroundings::of(&folder.path().join("Smolfile.yaml"), &host);

        let source = surroundings.local_source(Path::new("conf")).unwrap();
        assert_eq!(listing(&source), ["/", "a 4 false", "b/", "b/run 2 true", "link -> ../elsewhere"]);
        let source = surroundings.local_source(Path::new("conf/a")).unwrap();
        assert_eq!(listing(&source), [" 4 false"]);
    }

    #[test]
    fn what_leads_out_of_the_folder_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("project");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(outer.path().join("secret"), "x").unwrap();
        symlink(outer.path(), folder.join("out")).unwrap();
        symlink("../secret", folder.join("leak")).unwrap();
        let host = Host::new([], SystemTime::UNIX_EPOCH);
        let surroundings = HostSurroundings::of(&folder.join("Smolfile.yaml"), &host);
        for path in ["../secret", "/etc/passwd", "out/secret", "leak", "out"] {
            let error = surroundings.local_source(Path::new(path)).unwrap_err();
            assert!(matches!(error, LocalSourceError::Outside), "{path}: {error}");
        }
        assert!(matches!(surroundings.local_source(Path::new("none")), Err(LocalSourceError::Missing)));
    }
}

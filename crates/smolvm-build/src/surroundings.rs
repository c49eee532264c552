//! The real world around a Smolfile: its folder, the home folder, the environment.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use smolvm_manifest::{Arch, LocalEntry, LocalKind, LocalSource, LocalSourceError, Surroundings};
use walkdir::{DirEntry, WalkDir};

use crate::Host;
use crate::ignore::Ignored;

/// A Smolfile's folder on a host.
#[derive(Debug)]
pub(crate) struct HostSurroundings<'a> {
    folder: PathBuf,
    host: &'a Host,
    /// Read for the first source.
    ignored: OnceCell<Ignored>,
}

impl<'a> HostSurroundings<'a> {
    pub(crate) fn of(smolfile: &Path, host: &'a Host) -> Self {
        let folder = match smolfile.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { folder, host, ignored: OnceCell::new() }
    }
}

impl HostSurroundings<'_> {
    fn ignored(&self) -> Result<&Ignored, LocalSourceError> {
        match self.ignored.get() {
            Some(ignored) => Ok(ignored),
            None => Ignored::of(&self.folder).map(|read| self.ignored.get_or_init(|| read)),
        }
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
        let entries = kept_entries(&root, path, self.ignored()?)?;
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

/// Everything below a source but what is ignored. What is left out is not even looked into, unless part of it may be taken back.
fn kept_entries(root: &Path, shown: &Path, ignored: &Ignored) -> Result<Vec<LocalEntry>, LocalSourceError> {
    let from_the_top = |below: &Path| -> String {
        let names = shown.components().chain(below.components()).filter(|part| *part != Component::CurDir);
        names.collect::<PathBuf>().to_string_lossy().into_owned()
    };
    let mut entries: Vec<LocalEntry> = Vec::new();
    // Folders that are left out themselves, of which something may stay: the outermost first.
    let mut waiting: Vec<DirEntry> = Vec::new();
    let mut walk = WalkDir::new(root).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| {
            let path = error.path().and_then(|path| path.strip_prefix(root).ok()).unwrap_or(Path::new(""));
            LocalSourceError::Unreadable { path: shown.join(path).display().to_string(), reason: error.into() }
        })?;
        waiting.retain(|folder| entry.path().starts_with(folder.path()));
        let path = from_the_top(entry.path().strip_prefix(root).expect("a walk stays below its root"));
        if ignored.leaves_out(&path).is_none() {
            for kept in waiting.drain(..).chain([entry]) {
                entries.push(local_entry(root, shown, &kept)?);
            }
        } else if entry.file_type().is_dir() {
            if ignored.may_take_back_below(&path) {
                waiting.push(entry);
            } else {
                walk.skip_current_dir();
            }
        }
    }
    match ignored.leaves_out(&from_the_top(Path::new(""))) {
        Some((file, line)) if entries.is_empty() => Err(LocalSourceError::Ignored { file, line }),
        _ => Ok(entries),
    }
}

/// One node of a walk; `shown` is the source as the Smolfile has it.
fn local_entry(root: &Path, shown: &Path, entry: &DirEntry) -> Result<LocalEntry, LocalSourceError> {
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
    fn what_is_ignored_is_no_part_of_a_source() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("app");
        for path in ["node_modules/a/b.js", "logs/old/1.log", "logs/keep/2.log", "src/main.js", ".env", "src/.env"] {
            fs_err::create_dir_all(app.join(path).parent().unwrap()).unwrap();
            fs_err::write(app.join(path), "canary").unwrap();
        }
        fs_err::set_permissions(app.join("src/main.js"), std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink("main.js", app.join("src/link")).unwrap();
        // Nobody may read it, nor is it of a kind that can be copied: it is not looked at.
        rustix::fs::mkfifoat(rustix::fs::CWD, app.join("node_modules/pipe"), rustix::fs::Mode::empty()).unwrap();
        let host = Host::new([], SystemTime::UNIX_EPOCH);
        let source = |path: &str| {
            let surroundings = HostSurroundings::of(&folder.path().join("Smolfile.yaml"), &host);
            surroundings.local_source(Path::new(path))
        };
        let rules = "**/node_modules\n**/.env\napp/logs\n!app/logs/keep\n";
        let expected = [
            "/",
            "logs/",
            "logs/keep/",
            "logs/keep/2.log 6 false",
            "src/",
            "src/link -> main.js",
            "src/main.js 6 true",
        ];
        fs_err::write(folder.path().join(".dockerignore"), rules).unwrap();
        for path in ["app", "./app/", "app/."] {
            assert_eq!(listing(&source(path).unwrap()), expected, "{path}");
        }

        // The file of our own counts alone.
        fs_err::write(folder.path().join(".smolignore"), "app/*\n!app/src\napp/src/l*\n").unwrap();
        assert_eq!(listing(&source("app").unwrap()), ["/", "src/", "src/.env 6 false", "src/main.js 6 true"]);
        let error = source("app/src/link").unwrap_err();
        assert!(matches!(error, LocalSourceError::Ignored { file: ".smolignore", line: 3 }), "{error}");

        fs_err::write(folder.path().join(".smolignore"), "[").unwrap();
        let error = source("app").unwrap_err();
        assert!(matches!(error, LocalSourceError::IgnoreFile { line: 1, .. }), "{error}");
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

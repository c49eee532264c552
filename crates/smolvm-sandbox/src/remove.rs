//! Removing scratch folders.

use std::path::{Path, PathBuf};
use std::thread;

use rustix::io::Errno;
use walkdir::WalkDir;

use crate::SandboxError;
use crate::agent::Task;
use crate::host::{self, Identity};
use crate::session::{Session, files, open_folder};

/// How many files are removed at the same time. A file system may wait for its disk with each one whose content has got there: one
/// after the other, the 12,000 of a small image took 5 to 15 s on such a machine; 16 at a time, about one.
const THREADS: usize = 16;

/// Removes a scratch folder, parts of it that belong to sub-ids included. Nothing there is no error.
pub fn remove_tree(path: &Path) -> Result<(), SandboxError> {
    let path = std::path::absolute(path).map_err(files("find", path))?;
    let identity = host::identity();
    remove_in_parallel(&path);
    match fs_err::remove_dir_all(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && identity == Identity::SubIds => {}
        other => return other.map_err(files("remove", &path)),
    }
    let (Some(above), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(files("remove", &path)(Errno::INVAL.into()));
    };
    let task = Task::Remove { folder: open_folder(above)?, name: name.to_owned() };
    Session::launch(task, path, identity).map(Session::close)
}

/// Removes what can be removed from out here: files, then folders, the innermost first. Links are not followed; nothing else works
/// in a folder that is being removed.
fn remove_in_parallel(path: &Path) {
    let mut files = Vec::new();
    let mut folders: Vec<Vec<PathBuf>> = Vec::new();
    for entry in WalkDir::new(path).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            folders.resize(folders.len().max(entry.depth() + 1), Vec::new());
            folders[entry.depth()].push(entry.into_path());
        } else {
            files.push(entry.into_path());
        }
    }
    each(&files, |file| std::fs::remove_file(file));
    for level in folders.iter().rev() {
        each(level, |folder| std::fs::remove_dir(folder));
    }
}

/// What cannot be removed, or finds no thread, is left to the removal that tells its errors.
fn each(paths: &[PathBuf], remove: impl Fn(&Path) -> std::io::Result<()> + Sync) {
    thread::scope(|scope| {
        for part in paths.chunks(paths.len().div_ceil(THREADS).max(1)) {
            let remove = &remove;
            let _ = thread::Builder::new().spawn_scoped(scope, move || {
                for path in part {
                    let _ = remove(path);
                }
            });
        }
    });
}

//! Locks that end with the process that holds them.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::durable::at;

/// A locked file or folder; unlocked when dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
}

impl Locked {
    /// Locks a lock file, made if need be; waits for whoever holds it.
    pub(crate) fn wait_for_file(path: &Path) -> io::Result<Self> {
        loop {
            let file = open_lock_file(path)?;
            retry_interrupted(|| file.lock()).map_err(|error| at(path, &error))?;
            if is_at(&file, path)? {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Locks a lock file, made if need be; `None` if somebody else holds it.
    pub(crate) fn try_file(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open_lock_file(path)?;
            if !try_lock(&file, path)? {
                return Ok(None);
            }
            if is_at(&file, path)? {
                return Ok(Some(Self { _file: file }));
            }
        }
    }

    /// Locks a folder. `None` if there is none; waits for whoever removes it.
    pub(crate) fn lease(path: &Path) -> io::Result<Option<Self>> {
        let Some(folder) = open_folder(path)? else { return Ok(None) };
        retry_interrupted(|| folder.lock_shared()).map_err(|error| at(path, &error))?;
        // It may have been moved away while we waited.
        Ok(is_at(&folder, path)?.then_some(Self { _file: folder }))
    }

    /// Locks a folder alone. Gives up after `patience`: `Err(WouldBlock)`. `Ok(None)` if there is no folder.
    pub(crate) fn take(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let Some(folder) = open_folder(path)? else { return Ok(None) };
        let until = Instant::now() + patience;
        while !try_lock(&folder, path)? {
            if Instant::now() >= until {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(is_at(&folder, path)?.then_some(Self { _file: folder }))
    }
}

fn open_lock_file(path: &Path) -> io::Result<File> {
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder)?;
            }
            open()
        }
        other => other,
    }
    .map_err(|error| at(path, &error))
}

fn open_folder(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path, &error)),
    }
}

fn try_lock(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(at(path, &error)),
    }
}

/// Whether `path` still leads to `file`: a lock on something that was removed or moved meanwhile guards nothing.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(theirs) => Ok(ours.dev() == theirs.dev() && ours.ino() == theirs.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path, &error)),
    }
}

fn retry_interrupted(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

//! The one way in which small files of the store are written, and folders made to last.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How the names of temporary files begin.
pub(crate) const TEMPORARY: &str = ".new-";

/// Writes a whole file or leaves what was there: temporary file in the same folder, sync, rename, sync of the folder.
pub(crate) fn write_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    fs_err::create_dir_all(folder)?;
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(|error| at(folder, &error))?;
    file.write_all(content).map_err(|error| at(path, &error))?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all().map_err(|error| at(path, &error))?;
    file.persist(path).map_err(|error| at(path, &error.error))?;
    sync_folder(folder)
}

/// Makes a file that was written piece by piece read-only, and sees it onto the disk.
pub(crate) fn seal(path: &Path) -> io::Result<()> {
    let file = fs_err::File::open(path)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

/// Sees what was renamed in or out of a folder onto the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}

/// Renames, and sees it onto the disk at the place where the thing is now.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    fs_err::create_dir_all(folder)?;
    fs_err::rename(from, to)?;
    sync_folder(folder)
}

/// Removes a folder with all that is in it; one that is gone already is as good.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The same error, saying where.
pub(crate) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

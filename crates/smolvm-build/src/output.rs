//! `--output`: an image's files in a folder of the user's, to do with as they like.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs_err::File;
use rustix::fs::SeekFrom as SparseSeek;
use serde::Serialize;

use crate::error::IoFailure;
use crate::{BuildError, BuiltImage};

/// What a virtual machine monitor has to be told, beside the files.
const CONFIGURATION: &str = "boot.json";

#[derive(Serialize)]
struct BootConfiguration<'a> {
    name: &'a str,
    key: &'a str,
    kernel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd: Option<&'static str>,
    rootfs: &'static str,
    boot_args: &'a str,
}

/// Copies kernel, initrd and root file system to `folder` and writes `boot.json` there. Each file appears whole or not at all.
/// The copies are the user's to write on.
pub(crate) fn deliver(image: &BuiltImage, folder: &Path) -> Result<(), BuildError> {
    let failed = |error: io::Error| {
        let help = "make sure that the folder can be written and has room; the image itself is in the store".to_owned();
        BuildError::host(IoFailure {
            doing: format!("putting the image into `{}`", folder.display()),
            error,
            help: Some(help),
        })
    };
    let names = ("vmlinuz", "initrd", "rootfs.ext4");
    let configuration = BootConfiguration {
        name: &image.name,
        key: &image.key,
        kernel: names.0,
        initrd: image.initrd.as_ref().map(|_| names.1),
        rootfs: names.2,
        boot_args: &image.boot_args,
    };
    let mut text = serde_json::to_vec_pretty(&configuration).expect("plain data becomes JSON");
    text.push(b'\n');
    let write = || -> io::Result<()> {
        fs_err::create_dir_all(folder)?;
        copy(&image.kernel, &folder.join(names.0))?;
        if let Some(initrd) = &image.initrd {
            copy(initrd, &folder.join(names.1))?;
        }
        copy(&image.rootfs, &folder.join(names.2))?;
        replace(&folder.join(CONFIGURATION), |file| file.write_all(&text))
    };
    write().map_err(failed)
}

/// A copy that shares the blocks of its original where the file system can, and has its holes where it cannot.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let cloned: PathBuf = to.with_extension("partial");
    let _ = fs_err::remove_file(&cloned);
    if reflink_copy::reflink(from, &cloned).is_ok() {
        make_writable(&cloned)?;
        return fs_err::rename(cloned, to);
    }
    replace(to, |file| copy_data(&mut File::open(from)?, file))
}

fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let outcome =
        File::create(&partial).and_then(|mut file| write(&mut file)).and_then(|()| fs_err::rename(&partial, path));
    if outcome.is_err() {
        let _ = fs_err::remove_file(&partial);
    }
    outcome
}

fn copy_data(from: &mut File, to: &mut File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, length)? {
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut io::Read::by_ref(from).take(end - start), to)?;
        at = end;
    }
    Ok(())
}

/// The next part that is not a hole. A file system that knows no holes calls everything data.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file.file(), SparseSeek::Data(at)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(rustix::io::Errno::INVAL) => return Ok(Some((at, length))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file.file(), SparseSeek::Hole(start)).unwrap_or(length);
    Ok(Some((start, end)))
}

fn make_writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut file = File::create(&from).unwrap();
        file.write_all(b"begin").unwrap();
        file.seek(SeekFrom::Start(40 << 20)).unwrap();
        file.write_all(b"end").unwrap();
        file.set_len(64 << 20).unwrap();
        drop(file);

        replace(&to, |file| copy_data(&mut File::open(&from)?, file)).unwrap();
        assert!(fs_err::read(&from).unwrap() == fs_err::read(&to).unwrap());
        assert!(fs_err::metadata(&to).unwrap().blocks() * 512 < 1 << 20, "the holes became data");
    }

    #[test]
    fn a_copy_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        fs_err::write(&to, "old").unwrap();
        replace(&to, |file| file.write_all(b"ne").and(Err(io::Error::other("full")))).unwrap_err();
        assert_eq!(fs_err::read_to_string(&to).unwrap(), "old");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}

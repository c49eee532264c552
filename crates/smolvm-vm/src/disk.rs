//! The disk that a guest writes on. It is never the image's own file.

use std::fs::TryLockError;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err::File;
use rustix::fs::SeekFrom as SparseSeek;

use crate::error::VmError;

/// What becomes of what the guest writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// It goes with the guest.
    Throwaway,
    /// It stays in this file: a copy of the image's root file system, made if the file is not there, used if it is.
    Kept(PathBuf),
}

/// A kept disk in use. Nobody else uses it meanwhile.
#[derive(Debug)]
pub(crate) struct KeptDisk {
    pub(crate) path: PathBuf,
    /// Whether it was copied from another image, or another build of this one.
    pub(crate) of_another_image: bool,
    _lock: File,
}

impl KeptDisk {
    pub(crate) fn open(path: &Path, rootfs: &Path) -> Result<Self, VmError> {
        let failed = |error| VmError::io(format!("use `{}` as the guest's disk", path.display()))(error);
        if !path.exists() {
            copy_disk(rootfs, path).map_err(failed)?;
        }
        // The image store's files are: root could write on them all the same.
        if fs_err::metadata(path).map_err(failed)?.permissions().readonly() {
            return Err(VmError::DiskReadOnly { disk: path.to_owned() });
        }
        let mut file = fs_err::OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(VmError::DiskInUse { disk: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let Some(uuid) = ext4_uuid(&mut file).map_err(failed)? else {
            return Err(VmError::NoDisk { disk: path.to_owned() });
        };
        let image = File::open(rootfs).and_then(|mut file| ext4_uuid(&mut file)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), of_another_image: image != Some(uuid), _lock: file })
    }
}

/// Linux, Documentation/filesystems/ext4/super.rst: the superblock is at 1024, `s_magic` at 0x38 in it and `s_uuid` at 0x68.
fn ext4_uuid(file: &mut File) -> io::Result<Option<[u8; 16]>> {
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut superblock = Vec::new();
    file.seek(SeekFrom::Start(1024))?;
    file.take(1024).read_to_end(&mut superblock)?;
    let uuid = superblock.get(0x68..0x78).and_then(|bytes| bytes.first_chunk());
    Ok(uuid.copied().filter(|_| superblock[0x38..0x3a] == [0x53, 0xef]))
}

/// A copy of a file that shares its blocks where the file system can, and has its holes where it cannot. It appears whole or not at all, and
/// its owner may write on it.
pub fn copy_disk(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // A name that is free: nothing of anybody's is written over before all is there.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = tempfile::Builder::new().prefix(".smolvm-").tempdir_in(folder)?;
    let partial = made.path().join("disk");
    if reflink_copy::reflink(from, &partial).is_err() {
        copy_data(&mut File::open(from)?, &mut File::create(&partial)?)?;
    }
    fs_err::set_permissions(&partial, std::fs::Permissions::from_mode(0o644))?;
    fs_err::rename(&partial, to)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};

    use super::*;

    /// As much of an ext4 as is looked at, with data far behind it.
    fn file_system(path: &Path, uuid: u8) {
        let file = std::fs::File::create(path).unwrap();
        file.write_all_at(&[0x53, 0xef], 1024 + 0x38).unwrap();
        file.write_all_at(&[uuid; 16], 1024 + 0x68).unwrap();
        file.write_all_at(b"end", 40 << 20).unwrap();
        file.set_len(64 << 20).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o444)).unwrap();
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_holes_and_may_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        file_system(&from, 1);
        copy_disk(&from, &to).unwrap();
        assert!(fs_err::read(&from).unwrap() == fs_err::read(&to).unwrap());
        let found = fs_err::metadata(&to).unwrap();
        assert!(found.blocks() * 512 < 1 << 20, "the holes became data");
        assert_eq!(found.mode() & 0o777, 0o644);
    }

    #[test]
    fn a_copy_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        fs_err::write(&to, "old").unwrap();
        copy_disk(folder.path(), &to).unwrap_err();
        assert_eq!(fs_err::read_to_string(&to).unwrap(), "old");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kept_disk_is_made_once_and_belongs_to_one_guest_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (rootfs, kept) = (folder.path().join("rootfs"), folder.path().join("kept"));
        file_system(&rootfs, 1);
        let first = KeptDisk::open(&kept, &rootfs).unwrap();
        assert!(matches!(KeptDisk::open(&kept, &rootfs), Err(VmError::DiskInUse { .. })));
        drop(first);
        fs_err::OpenOptions::new().append(true).open(&kept).unwrap().write_all(b"written").unwrap();
        assert!(!KeptDisk::open(&kept, &rootfs).unwrap().of_another_image);
        assert!(fs_err::read(&kept).unwrap().ends_with(b"written"), "it was made anew");

        fs_err::remove_file(&rootfs).unwrap();
        file_system(&rootfs, 2);
        assert!(KeptDisk::open(&kept, &rootfs).unwrap().of_another_image);
    }

    #[test]
    fn an_images_own_file_is_never_a_disk_to_write_on() {
        let folder = tempfile::tempdir().unwrap();
        let rootfs = folder.path().join("rootfs");
        file_system(&rootfs, 1);
        assert!(matches!(KeptDisk::open(&rootfs, &rootfs), Err(VmError::DiskReadOnly { .. })));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&rootfs, &link).unwrap();
        assert!(matches!(KeptDisk::open(&link, &rootfs), Err(VmError::DiskReadOnly { .. })));
    }

    #[test]
    fn a_file_that_is_no_disk_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (rootfs, letter) = (folder.path().join("rootfs"), folder.path().join("letter.txt"));
        file_system(&rootfs, 1);
        fs_err::write(&letter, "dear reader").unwrap();
        assert!(matches!(KeptDisk::open(&letter, &rootfs), Err(VmError::NoDisk { .. })));
        assert_eq!(fs_err::read_to_string(&letter).unwrap(), "dear reader");
    }
}

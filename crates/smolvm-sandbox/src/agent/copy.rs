//! A copy for the building user of a file that only a sub-id may read.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, SeekFrom, copy_file_range, ftruncate, mkdirat, openat, seek};
use rustix::io::Errno;

use super::Folder;

/// Copies a file, holes kept, to `private/<number>` of the scratch folder; `EEXIST` where an earlier session's is.
pub(super) fn copy_out(folder: &Folder, source: &OwnedFd, size: u64, number: u64) -> rustix::io::Result<()> {
    match mkdirat(&folder.scratch, "private", Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let target = openat(&folder.scratch, format!("private/{number}"), flags, Mode::from_raw_mode(0o600))?;
    copy(source, 0, &target, size)
}

/// Copies `size` bytes from `offset` on to the beginning of an empty file, holes kept.
pub(super) fn copy(source: &OwnedFd, offset: u64, target: &OwnedFd, size: u64) -> rustix::io::Result<()> {
    if size <= SMALL {
        return copy_through_memory(source, offset, target, 0, size);
    }
    ftruncate(target, size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(source, SeekFrom::Data(offset + at)) {
            Ok(start) => start - offset,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        if start >= size {
            break;
        }
        let end = (seek(source, SeekFrom::Hole(offset + start))? - offset).min(size);
        copy_part(source, offset + start, target, start, end - start)?;
        at = end;
    }
    Ok(())
}

/// Up to this size two system calls are as good as any.
const SMALL: u64 = 128 << 10;

fn copy_part(source: &OwnedFd, start: u64, target: &OwnedFd, at: u64, size: u64) -> rustix::io::Result<()> {
    let (mut from, mut to) = (start, at);
    let end = start + size;
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_through_memory(source, from, target, to, end - from);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn copy_through_memory(
    source: &OwnedFd,
    mut from: u64,
    target: &OwnedFd,
    mut to: u64,
    size: u64,
) -> rustix::io::Result<()> {
    let end = from + size;
    let mut buffer = vec![0; usize::try_from(size.min(SMALL)).unwrap_or_default()];
    while from < end {
        let wanted = usize::try_from(end - from).unwrap_or(usize::MAX).min(buffer.len());
        let count = rustix::io::pread(source, &mut buffer[..wanted], from)?;
        if count == 0 {
            // The file became shorter than it was when it was measured.
            return Err(Errno::IO);
        }
        from += count as u64;
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = rustix::io::pwrite(target, rest, to)?;
            rest = &rest[written..];
            to += written as u64;
        }
    }
    Ok(())
}

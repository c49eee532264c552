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
    ftruncate(&target, size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = seek(source, SeekFrom::Hole(start))?;
        copy_part(source, &target, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_part(source: &OwnedFd, target: &OwnedFd, start: u64, end: u64) -> rustix::io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_through_memory(source, target, from, end);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn copy_through_memory(source: &OwnedFd, target: &OwnedFd, mut at: u64, end: u64) -> rustix::io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let count = rustix::io::pread(source, &mut buffer[..wanted], at)?;
        if count == 0 {
            break;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = rustix::io::pwrite(target, rest, at)?;
            rest = &rest[written..];
            at += written as u64;
        }
    }
    Ok(())
}

//! Removing what nobody outside may remove.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::Errno;

use crate::wire::{At, Explain, Failure};

/// Removes a name, and if it is a folder all that is in it. Nothing there is no error. Follows no link.
pub(super) fn remove(folder: &OwnedFd, name: &str) -> Result<(), Failure> {
    let explain = |result: Result<(), Errno>| result.explain(At::Folder, format!("could not remove `{name}`"));
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => explain(open(folder, name).and_then(|opened| empty(&opened)))
            .and_then(|()| explain(unlinkat(folder, name, AtFlags::REMOVEDIR))),
        Err(error) => explain(Err(error)),
    }
}

fn open(folder: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Removes all that is in a folder.
fn empty(folder: &OwnedFd) -> Result<(), Errno> {
    // Level by level with a stack of our own: a hostile image may be deeper than a thread's stack.
    let mut levels: Vec<(OwnedFd, Vec<CString>)> =
        vec![(openat(folder, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, Vec::new())];
    levels[0].1 = clear_files(&levels[0].0)?;
    while let Some((at, folders)) = levels.last_mut() {
        let Some(name) = folders.last() else {
            levels.pop();
            if let Some((above, folders)) = levels.last_mut()
                && let Some(name) = folders.pop()
            {
                unlinkat(above, &name, AtFlags::REMOVEDIR)?;
            }
            continue;
        };
        let below = open(&*at, name)?;
        let folders = clear_files(&below)?;
        levels.push((below, folders));
    }
    Ok(())
}

/// Removes all that is no folder from a folder; what is left is the answer.
fn clear_files(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut folders = Vec::new();
    let mut names = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        names.push(entry?.file_name().to_owned());
    }
    for name in names {
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlinkat(folder, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => folders.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(folders)
}

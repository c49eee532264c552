//! Finding the way inside an image whose links cannot be trusted.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::wire::{At, Failure};

/// Links are followed as if the image's folder were `/`; links of `/proc`, which could lead anywhere, not at all.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Opens a path inside the image, links followed inside it.
pub(super) fn open(root: &OwnedFd, path: &str, flags: OFlags, mode: u32) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    // EAGAIN: something was renamed while the kernel looked; XDEV never comes, since mounts may be crossed.
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode), INSIDE) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens a folder inside the image to work in it.
pub(super) fn folder(root: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    open(root, path, OFlags::PATH | OFlags::DIRECTORY, 0)
}

/// Opens a folder inside the image, making it and those above it where they are missing: 0755, root's.
/// Says what it made, outermost first.
pub(super) fn make_folder(root: &OwnedFd, path: &str) -> Result<(OwnedFd, Vec<String>), Errno> {
    let mut missing = Vec::new();
    let mut rest = path;
    let mut at = loop {
        match folder(root, rest) {
            Ok(found) => break found,
            Err(Errno::NOENT) if !rest.is_empty() => {
                missing.push(rest);
                rest = rest.rsplit_once('/').map_or("", |(above, _)| above);
            }
            Err(error) => return Err(error),
        }
    };
    let mut made = Vec::new();
    for path in missing.into_iter().rev() {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        // A dangling link has the name already: EEXIST, and the folder it points to is not ours to invent.
        mkdirat(&at, name, Mode::from_raw_mode(0o755))?;
        made.push(path.to_owned());
        at = folder(root, path)?;
    }
    Ok((at, made))
}

/// A path as the image's list has it: no leading slash or `./`, no doubled or final slash. Refuses `..`.
pub(super) fn normal(path: &str) -> Result<String, Failure> {
    let mut clean = String::with_capacity(path.len());
    for part in path.split('/') {
        match part {
            "" | "." => continue,
            ".." => return Err(bad(path)),
            _ if part.contains('\0') => return Err(bad(path)),
            _ => {}
        }
        if !clean.is_empty() {
            clean.push('/');
        }
        clean.push_str(part);
    }
    Ok(clean)
}

/// The same for what needs a name, so that the root folder itself will not do.
pub(super) fn named(path: &str) -> Result<String, Failure> {
    let clean = normal(path)?;
    if clean.is_empty() { Err(bad(path)) } else { Ok(clean) }
}

fn bad(path: &str) -> Failure {
    Failure { at: At::BadPath(path.to_owned()), what: "read the path".to_owned(), errno: libc::EINVAL }
}

/// A clean path's folder and last name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Where a link in a folder points to, as far as that can be said from the text.
pub(super) fn link_target(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (path, expected) in [("/usr//lib/./x/", "usr/lib/x"), ("./", ""), ("", ""), ("..a/b..", "..a/b..")] {
            assert_eq!(normal(path).ok().as_deref(), Some(expected), "{path}");
        }
        for path in ["..", "a/..", "../a", "a/../b", "/..", "a\0b"] {
            assert!(normal(path).is_err(), "{path:?}");
        }
        assert!(named("./").is_err());
    }

    #[test]
    fn link_targets_stay_below_the_root() {
        for (folder, target, expected) in [
            ("etc", "../run/a", "run/a"),
            ("etc", "a/./b", "etc/a/b"),
            ("etc/x", "/var/lib", "var/lib"),
            ("", "../../../etc/shadow", "etc/shadow"),
        ] {
            assert_eq!(link_target(folder, target), expected);
        }
    }
}

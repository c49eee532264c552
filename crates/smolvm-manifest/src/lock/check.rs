//! What makes a lock unusable although it has the right shape.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Lock, LockedKernel, LockedPackage};

/// No package index is from another time: a lock that says so would be blamed on the clock of this machine. 1970 to 2100.
const TIMES: Range<i64> = 0..4_102_444_800;

/// What the types cannot say. A lock comes with a pull request: it is not trusted to name only files of its archive.
pub(super) fn check(lock: &Lock) -> Result<(), (String, String)> {
    hex_digest("question", &lock.question)?;
    likely_time("epoch", lock.epoch)?;
    for index in &lock.indexes {
        likely_time("date", index.date)?;
        hex_digest(&format!("the index of {}", index.suite), &index.sha256)?;
    }
    let mut seen = BTreeSet::new();
    for package in &lock.packages {
        sound(package)?;
        if !seen.insert((&package.name, &package.arch)) {
            return Err((format!("`{}` is listed twice", package.name), package.path.clone()));
        }
    }
    match &lock.kernel {
        LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) => {
            kernel.packages.iter().chain([&kernel.busybox]).try_for_each(sound)?;
        }
        LockedKernel::Smolvm(file) | LockedKernel::Url(file) | LockedKernel::Path(file) => {
            hex_digest("the kernel", &file.sha256)?;
        }
    }
    match &lock.base_image {
        Some(image) => {
            let digits = image.digest.strip_prefix("sha256:").unwrap_or_default();
            hex_digest(&format!("`{}`", image.reference), digits)
        }
        None => Ok(()),
    }
}

fn sound(package: &LockedPackage) -> Result<(), (String, String)> {
    hex_digest(&format!("`{}`", package.name), &package.sha256)?;
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '/');
    for (what, text) in
        [("name", &package.name), ("version", &package.version), ("arch", &package.arch), ("archive", &package.archive)]
    {
        if !word(text) || text == ".." || text == "." {
            return Err((format!("a package has the {what} {text:?}"), text.clone()));
        }
    }
    let path = &package.path;
    let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\\' | '?' | '#'))
        && !path.contains("://");
    if !inside {
        return Err((format!("the path of `{}` leads out of its archive", package.name), path.clone()));
    }
    Ok(())
}

fn likely_time(key: &str, seconds: i64) -> Result<(), (String, String)> {
    let message = || format!("its {key} {seconds}, in seconds since 1970, is not before the year 2100");
    if TIMES.contains(&seconds) { Ok(()) } else { Err((message(), format!("{key}: {seconds}"))) }
}

fn hex_digest(of: &str, text: &str) -> Result<(), (String, String)> {
    let hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex { Ok(()) } else { Err((format!("the digest of {of} is not 64 characters of 0-9 and a-f"), text.to_owned())) }
}

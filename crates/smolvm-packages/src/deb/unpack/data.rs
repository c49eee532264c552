//! The data member: what the package brings into the image.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use md5::{Digest as _, Md5};
use tar::EntryType;

use super::compression::{Budget, Compression};
use super::control_files::ControlFiles;
use super::{Entry, EntryKind, Member, UnpackLimits, UnpackProblem, paths};
use crate::deb::control::Control;

/// Bytes written at once. Blocks of zeros of at least [`HOLE`] become holes.
const WRITE_SIZE: usize = 128 << 10;
const HOLE: usize = 4096;

/// Reads the data member, and writes each of its files to `<scratch>/content/<package>/<number>`.
pub(super) fn unpack<R: Read>(
    member: Member<'_, R>,
    compression: Compression,
    control: &Control,
    control_files: &ControlFiles,
    scratch: &Path,
    limits: &UnpackLimits,
) -> Result<Vec<Entry>, UnpackProblem> {
    let allowed = limits.bytes.min(limits.unsuspicious_bytes.saturating_add(member.size.saturating_mul(limits.ratio)));
    let budget = Budget::new(allowed);
    let mut contents = Contents::new(scratch, control, control_files, allowed)?;
    let reader = compression.open(member, &budget).map_err(UnpackProblem::damaged)?;
    let mut archive = tar::Archive::new(reader);
    let mut in_archive = archive.entries().map_err(|error| budget.problem(error))?;
    let mut entries = Vec::new();
    loop {
        budget.begin_header();
        let Some(entry) = in_archive.next() else { break };
        let mut entry = entry.map_err(|error| budget.problem(error))?;
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        if entries.len() == limits.entries {
            return Err(UnpackProblem::TooLarge { what: format!("more than {} files", limits.entries) });
        }
        let path = paths::entry_path(&entry.path_bytes())?;
        let described = describe(&mut entry, &path)?;
        budget.begin_content();
        let kind = match entry.header().entry_type() {
            // In tar's oldest form, a folder is a file whose name ends with a slash.
            EntryType::Regular if entry.path_bytes().ends_with(b"/") => EntryKind::Directory,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                contents.write(&mut entry, &path, &described, &budget)?
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                EntryKind::Symlink { target: paths::symlink_target(&path, &target)? }
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                EntryKind::HardLink { target: paths::hard_link_target(&path, &target)? }
            }
            EntryType::Char | EntryType::Block => return Err(UnpackProblem::refused(path, "is a device")),
            EntryType::Fifo => return Err(UnpackProblem::refused(path, "is a named pipe")),
            other => {
                let shown = char::from(other.as_byte()).escape_debug();
                return Err(UnpackProblem::refused(path, format!("is of a kind that no package has (`{shown}`)")));
            }
        };
        if path.is_empty() && kind != EntryKind::Directory {
            return Err(UnpackProblem::refused(".", "takes the place of the root folder"));
        }
        let Described { mode, uid, gid, user, group, mtime, .. } = described;
        entries.push(Entry { path, kind, mode, uid, gid, user, group, mtime });
    }
    Ok(entries)
}

/// What an entry's headers say, beside its name and kind.
struct Described {
    mode: u32,
    uid: u32,
    gid: u32,
    user: Option<String>,
    group: Option<String>,
    mtime: i64,
    xattrs: BTreeMap<String, Vec<u8>>,
}

fn describe<R: Read>(entry: &mut tar::Entry<'_, R>, path: &str) -> Result<Described, UnpackProblem> {
    let unreadable = |_| UnpackProblem::refused(path, "has a damaged header");
    let number = |id: u64| u32::try_from(id).map_err(|_| UnpackProblem::refused(path, "has an impossible owner"));
    let header = entry.header();
    let name = |bytes: Option<&[u8]>| {
        let name = std::str::from_utf8(bytes?).ok()?;
        (!name.is_empty()).then(|| name.to_owned())
    };
    let mut described = Described {
        mode: header.mode().map_err(unreadable)? & 0o7777,
        uid: number(header.uid().map_err(unreadable)?)?,
        gid: number(header.gid().map_err(unreadable)?)?,
        user: name(header.username_bytes()),
        group: name(header.groupname_bytes()),
        // A time before 1970 is a negative number, which comes as a huge one.
        mtime: header.mtime().map_err(unreadable)?.cast_signed(),
        xattrs: BTreeMap::new(),
    };
    let Some(extensions) = entry.pax_extensions().map_err(unreadable)? else { return Ok(described) };
    for extension in extensions {
        let extension = extension.map_err(unreadable)?;
        let key = extension.key().map_err(|_| UnpackProblem::refused(path, "has a damaged header"))?;
        let value = extension.value_bytes();
        let text = || std::str::from_utf8(value).ok().map(str::to_owned);
        match key {
            "mtime" => {
                let seconds = text().and_then(|text| text.split('.').next().map(str::parse::<i64>)?.ok());
                described.mtime = seconds.ok_or_else(|| UnpackProblem::refused(path, "has a damaged header"))?;
            }
            "uname" => described.user = text(),
            "gname" => described.group = text(),
            _ if key.starts_with("GNU.sparse.") => {
                return Err(UnpackProblem::refused(path, "is a sparse file in a form that dpkg does not know"));
            }
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    described.xattrs.insert(name.to_owned(), value.to_vec());
                }
            }
        }
    }
    Ok(described)
}

/// Writes the files of one package.
struct Contents<'a> {
    scratch: &'a Path,
    folder: String,
    count: usize,
    with_md5: bool,
    /// Bytes that files may still have; holes count as well, unlike in the [`Budget`] of what is read.
    left: u64,
    buffer: Vec<u8>,
}

impl<'a> Contents<'a> {
    fn new(
        scratch: &'a Path,
        control: &Control,
        control_files: &ControlFiles,
        allowed: u64,
    ) -> Result<Self, UnpackProblem> {
        let folder = format!("content/{}", control.name);
        let path = scratch.join(&folder);
        fs::create_dir_all(&path).map_err(|source| UnpackProblem::Write { path, source })?;
        Ok(Self {
            scratch,
            folder,
            count: 0,
            with_md5: control_files.get("md5sums").is_none(),
            left: allowed,
            buffer: vec![0; WRITE_SIZE],
        })
    }

    fn write<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        path: &str,
        described: &Described,
        budget: &Budget,
    ) -> Result<EntryKind, UnpackProblem> {
        let size = entry.size();
        self.left = self.left.checked_sub(size).ok_or_else(|| budget.too_large())?;
        let content = format!("{}/{}", self.folder, self.count);
        self.count += 1;
        let on_disk = self.scratch.join(&content);
        let failed = |source| UnpackProblem::Write { path: on_disk.clone(), source };
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&on_disk).map_err(failed)?;
        let mut md5 = self.with_md5.then(Md5::new);
        let mut written = 0;
        let mut ends_in_hole = false;
        while written < size {
            let wanted = self.buffer.len().min(usize::try_from(size - written).unwrap_or(usize::MAX));
            let read = match entry.read(&mut self.buffer[..wanted]) {
                Ok(0) => return Err(UnpackProblem::Damaged { reason: format!("its file `{path}` is cut short") }),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(budget.problem(error)),
            };
            let block = &self.buffer[..read];
            if let Some(md5) = &mut md5 {
                md5.update(block);
            }
            ends_in_hole = read >= HOLE && block.iter().all(|byte| *byte == 0);
            if ends_in_hole {
                file.seek(SeekFrom::Current(i64::try_from(read).unwrap_or(i64::MAX))).map_err(failed)?;
            } else {
                file.write_all(block).map_err(failed)?;
            }
            written += read as u64;
        }
        if ends_in_hole {
            file.set_len(size).map_err(failed)?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(described.mode & 0o777)).map_err(failed)?;
        file.file().set_modified(system_time(described.mtime)).map_err(failed)?;
        let md5 = md5.map(|md5| hex::encode(md5.finalize()));
        Ok(EntryKind::File { content, size, xattrs: described.xattrs.clone(), md5 })
    }
}

fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

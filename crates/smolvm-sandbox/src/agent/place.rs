//! Changes to the image's folder.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
    chmodat, chownat, fchmod, fchown, fsetxattr, futimens, linkat, lsetxattr, mkdirat, mknodat, openat, renameat,
    renameat_with, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::{Folder, cell, copy, paths, remove};
use crate::PlaceOp;
use crate::wire::{At, Explain, Failure};

/// No file of an image that somebody wants to read whole is larger.
const LARGEST_READ: u64 = 256 << 20;

/// Carries out the operations in order, up to the first that fails.
pub(super) fn place(folder: &Folder, ops: &[PlaceOp]) -> Result<(), Failure> {
    // Attributes are set by path, which the working folder makes short; nobody else moves it.
    rustix::process::chdir(cell::SCRATCH).explain(At::Folder, "could not enter it")?;
    let mut placer = Placer { folder, last: None, pack: None };
    ops.iter().try_for_each(|op| placer.apply(op))
}

/// The bytes of a file of the image; `None` where there is none.
pub(super) fn read(folder: &Folder, path: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = paths::named(path)?;
    let at = || At::Harvest(path.clone());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match paths::open(&folder.root, &path, flags, 0) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error).explain(at(), "open it"),
    };
    let found = rustix::fs::fstat(&file).explain(at(), "look at it")?;
    if !FileType::from_raw_mode(found.st_mode).is_file() {
        return Err(Errno::INVAL).explain(at(), "read it, since it is no file");
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(LARGEST_READ).read_to_end(&mut bytes).explain(at(), "read it")?;
    Ok(Some(bytes))
}

struct Placer<'a> {
    folder: &'a Folder,
    /// The folder of the operation before: packages list a folder's files one after the other.
    ///
    /// It stays valid until something that the way to it may lead through is replaced or removed. New names cannot
    /// change the way to a folder that exists.
    last: Option<(String, Rc<OwnedFd>)>,
    /// The file of [`PlaceOp::Slice`] that was used last.
    pack: Option<(String, Rc<OwnedFd>)>,
}

struct Metadata {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
}

impl Placer<'_> {
    fn apply(&mut self, op: &PlaceOp) -> Result<(), Failure> {
        match op {
            PlaceOp::Directory { path, mode, uid, gid, mtime } => {
                self.directory(path, &Metadata { mode: *mode, uid: *uid, gid: *gid, mtime: *mtime })
            }
            PlaceOp::File { path, content, mode, uid, gid, mtime, xattrs } => {
                self.file(path, content, &Metadata { mode: *mode, uid: *uid, gid: *gid, mtime: *mtime }, xattrs)
            }
            PlaceOp::Slice { path, content, offset, size, mode, uid, gid, mtime, xattrs } => {
                let metadata = Metadata { mode: *mode, uid: *uid, gid: *gid, mtime: *mtime };
                self.slice(path, (content, *offset, *size), &metadata, xattrs)
            }
            PlaceOp::Special { path, socket, mode, uid, gid, mtime } => {
                let metadata = Metadata { mode: *mode, uid: *uid, gid: *gid, mtime: *mtime };
                self.special(path, *socket, &metadata)
            }
            PlaceOp::Symlink { path, target, uid, gid, mtime } => self.symlink(path, target, (*uid, *gid), *mtime),
            PlaceOp::HardLink { path, target } => self.hard_link(path, target),
            PlaceOp::Rename { from, to } => self.rename(from, to),
            PlaceOp::Remove { path } => self.remove(path),
            PlaceOp::SetMetadata { path, mode, uid, gid } => self.set_metadata(path, *mode, (*uid, *gid)),
            PlaceOp::SetDirectoryAttributes { path, xattrs } => self.set_directory_attributes(path, xattrs),
            PlaceOp::SetDirectoryTime { path, mtime } => self.set_directory_time(path, *mtime),
        }
    }

    fn directory(&mut self, path: &str, metadata: &Metadata) -> Result<(), Failure> {
        let path = paths::normal(path)?;
        if path.is_empty() {
            return Ok(()); // Every package lists the root folder first.
        }
        let (above, name) = self.parent(&path)?;
        match mkdirat(&above, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return match paths::folder(&self.folder.root, &path) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(error).explain(at(&path), "make the folder, since something else is there"),
                };
            }
            Err(error) => return Err(error).explain(at(&path), "make the folder"),
        }
        if (metadata.uid, metadata.gid) != (0, 0) {
            chown(&above, name, metadata.uid, metadata.gid).explain(at(&path), "set its owner")?;
        }
        chmodat(&above, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
            .explain(at(&path), "set its mode")?;
        set_time(&above, name, metadata.mtime).explain(at(&path), "set its time")
    }

    fn file(
        &mut self,
        path: &str,
        content: &str,
        metadata: &Metadata,
        xattrs: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let content = paths::named(content)?;
        let scratch = &self.folder.scratch;
        let found = stat(scratch, &content).explain(at(&path), format!("look at its content `{content}`"))?;
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            return Err(Errno::INVAL).explain(at(&path), format!("use its content `{content}`, which is no file"));
        }
        // Whoever unpacked the file may have set most of this: each change that is not made saves a write of the inode.
        let new_owner = (found.st_uid, found.st_gid) != (metadata.uid, metadata.gid);
        if new_owner {
            chown(scratch, &content, metadata.uid, metadata.gid).explain(at(&path), "set its owner")?;
        }
        // After the owner, whose change clears setuid and setgid, and file capabilities.
        if new_owner || found.st_mode & 0o7777 != metadata.mode {
            let mode = Mode::from_raw_mode(metadata.mode);
            chmodat(scratch, &content, mode, AtFlags::empty()).explain(at(&path), "set its mode")?;
        }
        for (name, value) in xattrs {
            lsetxattr(&content, name, value, XattrFlags::empty()).explain(at(&path), format!("set its {name}"))?;
        }
        if (found.st_mtime, found.st_mtime_nsec) != (metadata.mtime, 0) {
            set_time(scratch, &content, metadata.mtime).explain(at(&path), "set its time")?;
        }
        self.put(scratch, &content, &path)
    }

    fn slice(
        &mut self,
        path: &str,
        (content, offset, size): (&str, u64, u64),
        metadata: &Metadata,
        xattrs: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let pack = self.pack(content, &path)?;
        let (above, name) = self.parent(&path)?;
        let create = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(&above, name, flags, Mode::from_raw_mode(metadata.mode & 0o777))
        };
        let mut made = create();
        if made.as_ref().is_err_and(|error| *error == Errno::EXIST) {
            self.clear(&above, name, &path)?;
            made = create();
        }
        let file = made.explain(at(&path), "make the file")?;
        copy::copy(&pack, offset, &file, size).explain(at(&path), "copy its content")?;
        let new_owner = (metadata.uid, metadata.gid) != (0, 0);
        if new_owner {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            fchown(&file, Some(uid), Some(gid)).explain(at(&path), "set its owner")?;
        }
        // After the owner, whose change clears setuid and setgid, and file capabilities.
        if new_owner || metadata.mode & 0o7000 != 0 {
            fchmod(&file, Mode::from_raw_mode(metadata.mode)).explain(at(&path), "set its mode")?;
        }
        for (name, value) in xattrs {
            fsetxattr(&file, name, value, XattrFlags::empty()).explain(at(&path), format!("set its {name}"))?;
        }
        futimens(&file, &times(metadata.mtime)).explain(at(&path), "set its time")
    }

    fn special(&mut self, path: &str, socket: bool, metadata: &Metadata) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let (above, name) = self.parent(&path)?;
        let kind = if socket { FileType::Socket } else { FileType::Fifo };
        let node = || mknodat(&above, name, kind, Mode::from_raw_mode(0o600), 0);
        let mut made = node();
        if made == Err(Errno::EXIST) {
            self.clear(&above, name, &path)?;
            made = node();
        }
        made.explain(at(&path), "make it")?;
        chown(&above, name, metadata.uid, metadata.gid).explain(at(&path), "set its owner")?;
        chmodat(&above, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
            .explain(at(&path), "set its mode")?;
        set_time(&above, name, metadata.mtime).explain(at(&path), "set its time")
    }

    /// A file of the scratch folder with the contents of many: the one of the operation before, mostly.
    fn pack(&mut self, content: &str, path: &str) -> Result<Rc<OwnedFd>, Failure> {
        if let Some((last, fd)) = &self.pack
            && last == content
        {
            return Ok(Rc::clone(fd));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.folder.scratch, paths::named(content)?, flags, Mode::empty())
            .explain(at(path), format!("open its content `{content}`"))?;
        let fd = Rc::new(fd);
        self.pack = Some((content.to_owned(), Rc::clone(&fd)));
        Ok(fd)
    }

    fn symlink(&mut self, path: &str, target: &str, owner: (u32, u32), mtime: i64) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let (above, name) = self.parent(&path)?;
        let mut result = symlinkat(target, &above, name);
        if result == Err(Errno::EXIST) {
            self.clear(&above, name, &path)?;
            result = symlinkat(target, &above, name);
        }
        result.explain(at(&path), "make the link")?;
        if owner != (0, 0) {
            chown(&above, name, owner.0, owner.1).explain(at(&path), "set its owner")?;
        }
        set_time(&above, name, mtime).explain(at(&path), "set its time")
    }

    fn hard_link(&mut self, path: &str, target: &str) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let target = paths::named(target)?;
        let (target_above, target_name) = paths::split(&target);
        let target_above = paths::folder(&self.folder.root, target_above)
            .explain(at(&path), format!("open the folder of its link target /{target}"))?;
        let (above, name) = self.parent(&path)?;
        let link = || linkat(&target_above, target_name, &above, name, AtFlags::empty());
        let mut result = link();
        if result == Err(Errno::EXIST) {
            let (old, new) = (stat(&target_above, target_name), stat(&above, name));
            if let (Ok(old), Ok(new)) = (old, new)
                && (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino)
            {
                return Ok(());
            }
            self.clear(&above, name, &path)?;
            result = link();
        }
        result.explain(at(&path), format!("link it to /{target}"))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let from = paths::named(from)?;
        let to = paths::named(to)?;
        let (from_above, from_name) = paths::split(&from);
        let from_above =
            paths::folder(&self.folder.root, from_above).explain(at(&from), "open the folder that it is in")?;
        self.put(&from_above, from_name, &to)?;
        self.last = None;
        // Where both names were one file, the kernel leaves both.
        match unlinkat(&from_above, from_name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).explain(at(&from), "remove the old name"),
        }
    }

    fn remove(&mut self, path: &str) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let (above, name) = paths::split(&path);
        let above = match paths::folder(&self.folder.root, above) {
            Ok(above) => above,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error).explain(at(&path), "open the folder that it is in"),
        };
        self.last = None;
        remove::remove(&above, name).map_err(|failure| Failure {
            at: at(&path),
            what: "remove it".to_owned(),
            ..failure
        })
    }

    fn set_metadata(&mut self, path: &str, mode: u32, owner: (u32, u32)) -> Result<(), Failure> {
        let path = paths::named(path)?;
        let (above, name) = paths::split(&path);
        let above = paths::folder(&self.folder.root, above).explain(at(&path), "open the folder that it is in")?;
        let found = stat(&above, name).explain(at(&path), "look at it")?;
        chown(&above, name, owner.0, owner.1).explain(at(&path), "set its owner")?;
        if FileType::from_raw_mode(found.st_mode).is_symlink() {
            return Ok(());
        }
        chmodat(&above, name, Mode::from_raw_mode(mode), AtFlags::empty()).explain(at(&path), "set its mode")
    }

    fn set_directory_attributes(&mut self, path: &str, xattrs: &BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
        let (folder, path) = self.open_directory(path)?;
        for (name, value) in xattrs {
            fsetxattr(&folder, name, value, XattrFlags::empty()).explain(at(&path), format!("set its {name}"))?;
        }
        Ok(())
    }

    fn set_directory_time(&mut self, path: &str, mtime: i64) -> Result<(), Failure> {
        let (folder, path) = self.open_directory(path)?;
        futimens(&folder, &times(mtime)).explain(at(&path), "set its time")
    }

    fn open_directory(&self, path: &str) -> Result<(OwnedFd, String), Failure> {
        let path = paths::normal(path)?;
        let found = paths::open(&self.folder.root, &path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
            .explain(at(&path), "open the folder")?;
        Ok((found, path))
    }

    /// Renames a file onto a path of the image.
    fn put(&mut self, from: &OwnedFd, from_name: &str, path: &str) -> Result<(), Failure> {
        let (above, name) = self.parent(path)?;
        match renameat_with(from, from_name, &above, name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // EINVAL: this file system knows no flags.
            Err(Errno::EXIST | Errno::INVAL) => {}
            Err(error) => return Err(error).explain(at(path), "move it to its place"),
        }
        if let Ok(found) = stat(&above, name) {
            if FileType::from_raw_mode(found.st_mode).is_dir() {
                return Err(Errno::ISDIR).explain(at(path), "replace the folder that is there");
            }
            self.last = None;
        }
        renameat(from, from_name, &above, name).explain(at(path), "move it to its place")
    }

    /// Removes what is no folder from where a link shall be.
    fn clear(&mut self, above: &OwnedFd, name: &str, path: &str) -> Result<(), Failure> {
        self.last = None;
        match unlinkat(above, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Err(Errno::ISDIR).explain(at(path), "replace the folder that is there"),
            other => other.explain(at(path), "remove what is in the way"),
        }
    }

    /// The folder that a path is in, made if it is missing, and the path's last name.
    fn parent<'p>(&mut self, path: &'p str) -> Result<(Rc<OwnedFd>, &'p str), Failure> {
        let (above, name) = paths::split(path);
        if let Some((last, fd)) = &self.last
            && last == above
        {
            return Ok((Rc::clone(fd), name));
        }
        let (fd, _) = paths::make_folder(&self.folder.root, above)
            .explain(at(path), format!("open the folder /{above} that it is in"))?;
        let fd = Rc::new(fd);
        self.last = Some((above.to_owned(), Rc::clone(&fd)));
        Ok((fd, name))
    }
}

fn at(path: &str) -> At {
    At::Place(path.to_owned())
}

fn stat(folder: impl AsFd, path: &str) -> rustix::io::Result<Stat> {
    statat(folder, path, AtFlags::SYMLINK_NOFOLLOW)
}

fn chown(folder: impl AsFd, path: &str, uid: u32, gid: u32) -> rustix::io::Result<()> {
    chownat(folder, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
}

fn set_time(folder: impl AsFd, path: &str, mtime: i64) -> rustix::io::Result<()> {
    utimensat(folder, path, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(mtime: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime, tv_nsec: 0 },
    }
}

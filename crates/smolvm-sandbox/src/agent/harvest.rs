//! The image's folder, walked into a listing.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, Stat, lgetxattr, llistxattr, major, minor, openat, readlinkat, statat,
};
use rustix::io::Errno;
use smolvm_rootfs::{Content, Inode, Kind};

use super::{Folder, copy};
use crate::host::Identity;
use crate::wire::{At, Channel, Explain, Failure, Found, FoundWhat, Reply};

/// Names sent at a time.
const BATCH: usize = 512;

/// No system call takes a longer path, so nobody could name the file.
const LONGEST_PATH: usize = 4095;

/// What harvests of one session share.
#[derive(Default)]
pub(super) struct Harvester {
    /// Trees of earlier harvests refer to their copies, so numbers are never used again.
    copies: u64,
}

impl Harvester {
    /// Sends the whole tree, parents before what is in them, names in byte order, so that equal folders give equal answers.
    pub(super) fn harvest(&mut self, folder: &Folder, channel: &Channel) -> Result<(), Failure> {
        let mut walk = Walk {
            folder,
            channel,
            copies: &mut self.copies,
            linked: HashMap::default(),
            inodes: 0,
            batch: Vec::with_capacity(BATCH),
            buffer: vec![0; 64 << 10],
        };
        walk.run()?;
        walk.flush()
    }
}

struct Walk<'a> {
    folder: &'a Folder,
    channel: &'a Channel,
    copies: &'a mut u64,
    /// Files with several names, by device and number. Not std's random hasher: it would ask the kernel for entropy.
    linked: HashMap<(u64, u64), u32, BuildHasherDefault<DefaultHasher>>,
    inodes: u32,
    batch: Vec<Found>,
    /// For names and values of attributes.
    buffer: Vec<u8>,
}

/// A folder that is being walked.
struct Level {
    fd: OwnedFd,
    /// Its path, empty or with a final slash.
    prefix: String,
    /// Names to come, the last first.
    names: Vec<CString>,
    /// Whether the building user reaches what is in it.
    reachable: bool,
}

impl Level {
    fn open(fd: OwnedFd, prefix: String, reachable: bool) -> Result<Self, Failure> {
        let mut names: Vec<CString> = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
        let mut entries = RawDir::new(&fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.explain(harvest(&prefix), "list the folder")?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self { fd, prefix, names, reachable })
    }
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let root = openat(&self.folder.root, ".", FOLDER, Mode::empty()).explain(harvest(""), "open the folder")?;
        let found = rustix::fs::fstat(&root).explain(harvest(""), "look at it")?;
        rustix::process::fchdir(&root).explain(harvest(""), "enter the folder")?;
        self.visit(&root, c".", String::new(), &found, true)?;
        let mut levels = vec![Level::open(root, String::new(), self.reachable(&found, SEARCH))?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                levels.pop();
                if let Some(level) = levels.last() {
                    rustix::process::fchdir(&level.fd).explain(harvest(&level.prefix), "enter the folder")?;
                }
                continue;
            };
            let Ok(shown) = name.to_str() else {
                let shown = format!("/{}{}", level.prefix, name.to_string_lossy());
                return Err(Failure { at: At::NotUtf8(shown), what: String::new(), errno: libc::EILSEQ });
            };
            let path = format!("{}{shown}", level.prefix);
            if path.len() > LONGEST_PATH {
                let start: String = path.chars().take(80).collect();
                return Err(Errno::NAMETOOLONG).explain(harvest(&(start + "…")), "list it");
            }
            let found = statat(&level.fd, &name, AtFlags::SYMLINK_NOFOLLOW).explain(harvest(&path), "look at it")?;
            self.visit(&level.fd, &name, path.clone(), &found, level.reachable)?;
            if FileType::from_raw_mode(found.st_mode).is_dir() {
                let below =
                    openat(&level.fd, &name, FOLDER, Mode::empty()).explain(harvest(&path), "open the folder")?;
                rustix::process::fchdir(&below).explain(harvest(&path), "enter the folder")?;
                let reachable = level.reachable && self.reachable(&found, SEARCH);
                let level = Level::open(below, path + "/", reachable)?;
                levels.push(level);
            }
        }
        Ok(())
    }

    /// Sends one name. Its folder is the working folder.
    fn visit(
        &mut self,
        above: &OwnedFd,
        name: &CStr,
        path: String,
        found: &Stat,
        reachable: bool,
    ) -> Result<(), Failure> {
        let kind = FileType::from_raw_mode(found.st_mode);
        if found.st_nlink > 1 && !kind.is_dir() {
            let first = *self.linked.entry((found.st_dev, found.st_ino)).or_insert(self.inodes);
            if first != self.inodes {
                return self.send(path, FoundWhat::Again(first));
            }
        }
        let at = || harvest(&path);
        let xattrs = self.xattrs(name).explain(at(), "read its attributes")?;
        let mut private = None;
        let kind = match kind {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = readlinkat(above, name, Vec::new()).explain(at(), "read the link")?;
                Kind::Symlink(target.into_string().map_err(|error| Failure {
                    at: At::NotUtf8(format!("/{path} -> {}", error.into_cstring().to_string_lossy())),
                    what: String::new(),
                    errno: libc::EILSEQ,
                })?)
            }
            FileType::RegularFile => {
                let size = u64::try_from(found.st_size).unwrap_or(0);
                // A list of further rights may take away what the mode grants.
                if !(reachable && self.reachable(found, READ))
                    || xattrs.contains_key("system.posix_acl_access") && self.is_user()
                {
                    private = Some(self.copy(above, name, size).explain(at(), "copy it")?);
                }
                Kind::File(Content::File { path: PathBuf::new(), size })
            }
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::CharDevice { major: major(found.st_rdev), minor: minor(found.st_rdev) },
            FileType::BlockDevice => Kind::BlockDevice { major: major(found.st_rdev), minor: minor(found.st_rdev) },
            FileType::Unknown => return Err(Errno::INVAL).explain(at(), "tell what it is"),
        };
        let (mode, uid, gid) = (found.st_mode & 0o7777, found.st_uid, found.st_gid);
        let inode = Inode { kind, mode, uid, gid, mtime: found.st_mtime, xattrs };
        self.inodes += 1;
        self.send(path, FoundWhat::Inode { inode, private })
    }

    /// The attributes that belong to an image. What the host's own security modules wrote (`security.selinux`,
    /// `security.ima`), and what its file system shows of itself, stays out.
    ///
    /// Inside a user namespace the kernel stores file capabilities with the number of the namespace's root; read from
    /// inside the same namespace, as here, they come back in the plain form that a guest's kernel expects.
    fn xattrs(&mut self, name: &CStr) -> rustix::io::Result<BTreeMap<String, Vec<u8>>> {
        let length = match llistxattr(name, &mut self.buffer[..]) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
            Ok(length) => length,
            Err(error) => return Err(error),
        };
        let keys: Vec<String> = self.buffer[..length]
            .split(|&byte| byte == 0)
            .filter_map(|key| std::str::from_utf8(key).ok())
            .filter(|key| {
                key.starts_with("user.")
                    || matches!(*key, "security.capability" | "system.posix_acl_access" | "system.posix_acl_default")
            })
            .map(str::to_owned)
            .collect();
        let mut xattrs = BTreeMap::new();
        for key in keys {
            let length = lgetxattr(name, key.as_str(), &mut self.buffer[..])?;
            xattrs.insert(key, self.buffer[..length].to_vec());
        }
        Ok(xattrs)
    }

    fn is_user(&self) -> bool {
        self.folder.identity == Identity::SubIds
    }

    /// Whether the building user, who is root inside, may read a file or pass through a folder from outside.
    fn reachable(&self, found: &Stat, right: u32) -> bool {
        let class = match (found.st_uid, found.st_gid) {
            (0, _) => 6,
            (_, 0) => 3,
            _ => 0,
        };
        !self.is_user() || (found.st_mode >> class) & right != 0
    }

    fn copy(&mut self, above: &OwnedFd, name: &CStr, size: u64) -> rustix::io::Result<u64> {
        let source = openat(above, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        loop {
            let number = *self.copies;
            *self.copies += 1;
            match copy::copy_out(self.folder, &source, size, number) {
                Err(Errno::EXIST) => {}
                other => return other.map(|()| number),
            }
        }
    }

    fn send(&mut self, path: String, what: FoundWhat) -> Result<(), Failure> {
        self.batch.push(Found { path, what });
        if self.batch.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.channel.send(&Reply::Found(batch)).explain(harvest(""), "answer")
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Permission to read, in the bits of the class that applies.
const READ: u32 = 0o4;
/// Permission to pass through a folder.
const SEARCH: u32 = 0o1;

fn harvest(path: &str) -> At {
    At::Harvest(path.trim_end_matches('/').to_owned())
}

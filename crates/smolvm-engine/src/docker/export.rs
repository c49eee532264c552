//! The image's files, streamed out of the daemon into a tree.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use bollard::Docker;
use futures_util::TryStreamExt as _;
use smolvm_rootfs::{Content, Inode, InodeId, Kind, RootTree};
use tar::EntryType;
use tokio::task::spawn_blocking;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::DockerError;
use super::error::DockerError::Io;

/// What Docker itself puts into a container: mount points, and a mark.
const DOCKERS_OWN: [&str; 4] = [".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname"];

/// A file of this size or less may stay in memory: for most of an image's files, making a file and removing it costs more than
/// what is in it.
const SMALL: u64 = 16 << 10;
/// What all small files together may take there: those of a small Debian need 30 MB.
const MEMORY_FOR_SMALL: u64 = 48 << 20;

/// Reads a container's files into a tree. Their contents go to `folder`, one file each, beside the store; the first small ones stay in memory.
pub(super) async fn export(docker: &Docker, container: &str, folder: &Path) -> Result<RootTree, DockerError> {
    let stream = docker.export_container(container).map_err(|error| io::Error::other(super::error::chain(&error)));
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(stream)));
    let folder = folder.to_owned();
    let read = move || {
        fs_err::create_dir_all(&folder)?;
        read(reader, &folder)
    };
    let failed = |error| Io { doing: "reading the image out of Docker".to_owned(), error };
    spawn_blocking(read).await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

fn read(input: impl io::Read, folder: &Path) -> io::Result<RootTree> {
    let mut tree = RootTree::new(0);
    let mut ids: BTreeMap<String, InodeId> = BTreeMap::new();
    let mut contents = Contents { folder, memory: MEMORY_FOR_SMALL };
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(1 << 20, input));
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let path = path_of(&entry)?;
        if DOCKERS_OWN.contains(&path.as_str()) {
            continue;
        }
        let refused = |error: smolvm_rootfs::TreeError| io::Error::other(error);
        if entry.header().entry_type() == EntryType::Link {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = normal(std::str::from_utf8(&target).map_err(|_| not_utf8(&path))?);
            let id = *ids
                .get(&target)
                .ok_or_else(|| io::Error::other(format!("/{path} is a link to /{target}, which is not there")))?;
            tree.link(&path, id).map_err(refused)?;
            ids.insert(path, id);
            continue;
        }
        let Some(inode) = inode(&mut entry, &path, &mut contents, number)? else { continue };
        tree.create_parents(&path, inode.mtime).map_err(refused)?;
        let id = tree.insert(&path, inode).map_err(refused)?;
        ids.insert(path, id);
    }
    Ok(tree)
}

fn path_of<R: io::Read>(entry: &tar::Entry<'_, R>) -> io::Result<String> {
    let bytes = entry.path_bytes();
    let path = std::str::from_utf8(&bytes).map_err(|_| not_utf8(&String::from_utf8_lossy(&bytes)))?;
    if path.split('/').any(|name| name == "..") {
        return Err(io::Error::other(format!("the entry `{path}` leads out of the image")));
    }
    Ok(normal(path))
}

fn normal(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    names.join("/")
}

fn not_utf8(path: &str) -> io::Error {
    io::Error::other(format!("the name `{path}` is not UTF-8, and ext4 images of smolvm hold only such names"))
}

fn inode<R: io::Read>(
    entry: &mut tar::Entry<'_, R>,
    path: &str,
    contents: &mut Contents<'_>,
    number: usize,
) -> io::Result<Option<Inode>> {
    let header = entry.header();
    let number_of =
        |id: u64| u32::try_from(id).map_err(|_| io::Error::other(format!("/{path} has an impossible owner")));
    let (mode, mut mtime) = (header.mode()? & 0o7777, header.mtime()?.cast_signed());
    let (uid, gid) = (number_of(entry.header().uid()?)?, number_of(entry.header().gid()?)?);
    let device = |header: &tar::Header| -> io::Result<(u32, u32)> {
        Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    let kind = entry.header().entry_type();
    let (major, minor) =
        if matches!(kind, EntryType::Char | EntryType::Block) { device(entry.header())? } else { (0, 0) };
    let mut xattrs = BTreeMap::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let Ok(key) = extension.key() else { continue };
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
            } else if key == "mtime" {
                let seconds = extension.value().ok().and_then(|text| text.split('.').next()?.parse().ok());
                mtime = seconds.unwrap_or(mtime);
            }
        }
    }
    xattrs.retain(|name, _| {
        name.starts_with("user.")
            || matches!(name.as_str(), "security.capability" | "system.posix_acl_access" | "system.posix_acl_default")
    });
    let kind = match kind {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default();
            Kind::Symlink(std::str::from_utf8(&target).map_err(|_| not_utf8(path))?.to_owned())
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let size = entry.size();
            Kind::File(contents.keep(entry.take(size), size, path, number)?)
        }
        EntryType::Char => Kind::CharDevice { major, minor },
        EntryType::Block => Kind::BlockDevice { major, minor },
        EntryType::Fifo => Kind::Fifo,
        // Global headers and the like.
        _ => return Ok(None),
    };
    Ok(Some(Inode { kind, mode, uid, gid, mtime, xattrs }))
}

/// Where contents go.
struct Contents<'a> {
    folder: &'a Path,
    /// Bytes of memory that are left for small ones.
    memory: u64,
}

impl Contents<'_> {
    fn keep(&mut self, mut input: impl io::Read, size: u64, path: &str, number: usize) -> io::Result<Content> {
        let cut_short = || io::Error::other(format!("/{path} is cut short"));
        if size <= SMALL && size <= self.memory {
            self.memory -= size;
            let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(io::Error::other)?);
            input.read_to_end(&mut bytes)?;
            return if bytes.len() as u64 == size { Ok(Content::bytes(bytes)) } else { Err(cut_short()) };
        }
        let kept = self.folder.join(number.to_string());
        let mut file = fs_err::File::create_new(&kept)?;
        if io::copy(&mut input, &mut file)? != size {
            return Err(cut_short());
        }
        Ok(Content::File { path: kept, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_survives_the_way_through_tar() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = RootTree::new(5);
        let long = format!("opt/{}/{}", "a".repeat(150), "b".repeat(150));
        tree.create_parents(&long, 7).unwrap();
        let file = |bytes: &[u8], mode| Inode::new(Kind::File(Content::bytes(bytes)), mode, 1000, 1001, 9);
        tree.insert(&long, file(b"long", 0o644)).unwrap();
        tree.create_parents("usr/bin/ping", 7).unwrap();
        tree.insert("usr/bin/large", file(&vec![7; 20 << 10], 0o755)).unwrap();
        let mut ping = file(b"ping", 0o4755);
        ping.xattrs.insert("security.capability".to_owned(), vec![1, 0, 0, 2, 0, 32, 0, 0]);
        let id = tree.insert("usr/bin/ping", ping).unwrap();
        tree.link("usr/bin/ping4", id).unwrap();
        tree.insert("usr/bin/link", Inode::new(Kind::Symlink("ping".to_owned()), 0o777, 0, 0, 9)).unwrap();
        tree.insert("usr/null", Inode::new(Kind::CharDevice { major: 1, minor: 3 }, 0o666, 0, 0, 9)).unwrap();
        tree.insert("usr/pipe", Inode::new(Kind::Fifo, 0o600, 0, 0, 9)).unwrap();
        let mut docker = tree.clone();
        docker.write_file(".dockerenv", *b"", 0o755, 0, 0, 9).unwrap();
        docker.write_file("etc/hosts", *b"", 0o755, 0, 0, 9).unwrap();
        let mut bytes = Vec::new();
        smolvm_rootfs::write_tar(&docker, &mut bytes).unwrap();

        let found = read(bytes.as_slice(), folder.path()).unwrap();
        for (path, _, inode) in tree.iter() {
            let same = found.get(path).unwrap_or_else(|| panic!("{path} is not there"));
            let meta = |inode: &Inode| (inode.mode, inode.uid, inode.gid, inode.mtime, inode.xattrs.clone());
            assert_eq!(meta(same), meta(inode), "{path}");
            match (&same.kind, &inode.kind) {
                (Kind::File(one), Kind::File(other)) => {
                    assert_eq!(one.read().unwrap(), other.read().unwrap(), "{path}");
                }
                (one, other) => assert_eq!(one, other, "{path}"),
            }
        }
        assert_eq!(found.id("usr/bin/ping"), found.id("usr/bin/ping4"));
        let in_file = |path: &str| matches!(found.get(path).unwrap().kind, Kind::File(Content::File { .. }));
        assert!(in_file("usr/bin/large") && !in_file("usr/bin/ping"));
        assert!(found.get(".dockerenv").is_none() && found.get("etc/hosts").is_none());
    }

    #[test]
    fn a_small_file_beyond_the_memory_for_it_goes_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut contents = Contents { folder: folder.path(), memory: 5 };
        let mut keep = |bytes: &[u8], number| contents.keep(bytes, 3, "a", number);
        assert!(matches!(keep(b"abc", 1).unwrap(), Content::Bytes(bytes) if *bytes == *b"abc"));
        assert!(
            matches!(keep(b"def", 2).unwrap(), Content::File { path, size: 3 } if fs_err::read(&path).unwrap() == b"def")
        );
        assert!(keep(b"gh", 3).is_err());
    }

    #[test]
    fn an_entry_that_leads_out_is_refused_by_name() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..9].copy_from_slice(b"../escape");
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, io::empty()).unwrap();
        let bytes = archive.into_inner().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = read(bytes.as_slice(), folder.path()).unwrap_err();
        assert!(error.to_string().contains("`../escape` leads out of the image"), "{error}");
    }
}

//! The tree, told to mkext4: names, metadata and where each file holds data.

use std::collections::HashMap;
use std::ops::Range;

use mkext4::{FsBuilder, InodeHandle, Meta, Options, ROOT, SparseSeg, SpecialKind};

use super::{Ext4Error, acl, holes};
use crate::{Content, Inode, InodeId, Kind, RootTree};

/// ext4's block, and mkext4's only one.
pub(super) const BLOCK: u64 = 4096;
/// mkext4 makes this folder itself, as mke2fs does.
const LOST_FOUND: &str = "lost+found";
/// What one block of extended attributes holds beside its own header and end mark.
const XATTR_ROOM: usize = 4096 - 32 - 4;
/// Earliest and latest second that ext4 can tell.
const TIMES: std::ops::RangeInclusive<i64> = -(1 << 31)..=(1 << 34) - (1 << 31) - 1;

/// A tree that was checked and whose content was looked through, ready to be declared to mkext4 at any size.
pub(super) struct Declared<'tree> {
    tree: &'tree RootTree,
    /// The files with data, in the order in which they are declared.
    pub(super) contents: Vec<FileContent<'tree>>,
    /// Index into `contents` by inode.
    content_of: HashMap<InodeId, usize>,
    /// Inodes that the tree itself needs.
    pub(super) inodes: u64,
    /// Bytes in whole blocks that the tree takes, without the file system's own.
    pub(super) bytes: u64,
}

/// A regular file that is not empty.
pub(super) struct FileContent<'tree> {
    /// Its first path in the image, for messages.
    pub(super) path: &'tree str,
    pub(super) content: &'tree Content,
    /// Where it is not zeros.
    pub(super) data: Vec<Range<u64>>,
}

impl<'tree> Declared<'tree> {
    pub(super) fn new(tree: &'tree RootTree) -> Result<Self, Ext4Error> {
        let mut declared = Self { tree, contents: Vec::new(), content_of: HashMap::new(), inodes: 0, bytes: 0 };
        let mut seen = vec![false; tree.inodes.len()];
        let mut buffer = Vec::new();
        for (path, id, inode) in entries(tree)? {
            declared.bytes += dirent_bytes(path);
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            declared.inodes += 1;
            declared.bytes += inode_bytes(inode);
            check_xattrs(path, inode)?;
            if let Kind::File(content) = &inode.kind
                && content.size() > 0
            {
                let data = holes::data_ranges(content, &mut buffer)
                    .map_err(|source| Ext4Error::Content { path: path.to_owned(), source })?;
                declared.bytes +=
                    data.iter().map(|range| (range.end - range.start).next_multiple_of(BLOCK)).sum::<u64>();
                declared.content_of.insert(id, declared.contents.len());
                declared.contents.push(FileContent { path, content, data });
            }
        }
        Ok(declared)
    }

    /// Declares everything to a new builder. The handles are those of `contents`, in the same order.
    pub(super) fn declare(&self, options: Options) -> Result<(FsBuilder, Vec<InodeHandle>), Ext4Error> {
        let mut builder = FsBuilder::new(options).map_err(Ext4Error::from_mkext4)?;
        let mut folders = HashMap::from([("", ROOT)]);
        let mut handles = vec![None; self.tree.inodes.len()];
        let mut content_handles = Vec::with_capacity(self.contents.len());
        for (path, id, inode) in entries(self.tree)? {
            let refuse = |error: mkext4::Error| Ext4Error::Entry { path: path.to_owned(), reason: error.to_string() };
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = folders[parent];
            if let Some(first) = handles[id.0 as usize] {
                builder.hardlink(parent, name, first).map_err(refuse)?;
                continue;
            }
            let handle = self.declare_inode(&mut builder, parent, path, name, id, inode).map_err(refuse)?;
            handles[id.0 as usize] = Some(handle);
            if inode.is_directory() {
                folders.insert(path, handle);
            }
            if self.content_of.contains_key(&id) {
                content_handles.push(handle);
            }
            for (name, value) in &inode.xattrs {
                let disk = if acl::is_acl(name) { acl::to_disk(value) } else { None };
                builder.set_xattr(handle, name, disk.as_ref().unwrap_or(value)).map_err(refuse)?;
            }
        }
        Ok((builder, content_handles))
    }

    fn declare_inode(
        &self,
        builder: &mut FsBuilder,
        parent: InodeHandle,
        path: &str,
        name: &str,
        id: InodeId,
        inode: &Inode,
    ) -> mkext4::Result<InodeHandle> {
        let meta = meta(inode);
        let special = |builder: &mut FsBuilder, kind| builder.mknod(parent, name, meta, kind);
        match &inode.kind {
            Kind::Directory if path.is_empty() => builder.set_meta(ROOT, meta).map(|()| ROOT),
            Kind::Directory => builder.mkdir(parent, name, meta),
            Kind::File(_) => match self.content_of.get(&id) {
                None => builder.file(parent, name, meta, 0),
                Some(index) => {
                    let FileContent { content, data, .. } = &self.contents[*index];
                    let size = content.size();
                    if data.first() == Some(&(0..size)) {
                        builder.file(parent, name, meta, size)
                    } else {
                        builder.file_sparse(parent, name, meta, &segments(data, size))
                    }
                }
            },
            Kind::Symlink(target) => builder.symlink(parent, name, target, meta),
            Kind::CharDevice { major, minor } => special(builder, SpecialKind::Char { major: *major, minor: *minor }),
            Kind::BlockDevice { major, minor } => special(builder, SpecialKind::Block { major: *major, minor: *minor }),
            Kind::Fifo => special(builder, SpecialKind::Fifo),
            Kind::Socket => special(builder, SpecialKind::Socket),
        }
    }
}

/// The tree's paths without its own `lost+found`, which must be empty then.
fn entries(tree: &RootTree) -> Result<impl Iterator<Item = (&str, InodeId, &Inode)>, Ext4Error> {
    if tree.get(LOST_FOUND).is_some_and(|inode| !inode.is_directory()) || tree.below(LOST_FOUND).next().is_some() {
        let reason = "the name belongs to the file system, which keeps an empty folder there".to_owned();
        return Err(Ext4Error::Entry { path: LOST_FOUND.to_owned(), reason });
    }
    Ok(tree.iter().filter(|(path, _, _)| *path != LOST_FOUND))
}

fn meta(inode: &Inode) -> Meta {
    let mode = u16::try_from(inode.mode & 0o7777).unwrap_or_default();
    Meta::new(mode, inode.uid, inode.gid, (inode.mtime.clamp(*TIMES.start(), *TIMES.end()), 0))
}

fn segments(data: &[Range<u64>], size: u64) -> Vec<SparseSeg> {
    let mut segments = Vec::new();
    let mut end = 0;
    for range in data {
        if range.start > end {
            segments.push(SparseSeg::Hole(range.start - end));
        }
        segments.push(SparseSeg::Data(range.end - range.start));
        end = range.end;
    }
    if size > end {
        segments.push(SparseSeg::Hole(size - end));
    }
    segments
}

/// mkext4 finds these out only when the layout is made, where it cannot tell whose they are.
fn check_xattrs(path: &str, inode: &Inode) -> Result<(), Ext4Error> {
    let refuse = |reason: String| Err(Ext4Error::Entry { path: path.to_owned(), reason });
    let mut bytes = 0;
    for (name, value) in &inode.xattrs {
        if acl::is_acl(name) && acl::to_disk(value).is_none() {
            return refuse(format!("its extended attribute `{name}` is not a valid access control list"));
        }
        bytes += 16 + name.len().next_multiple_of(4) + value.len().next_multiple_of(4);
    }
    if bytes > XATTR_ROOM {
        return refuse(format!("its extended attributes take {bytes} bytes, and {XATTR_ROOM} is the most"));
    }
    Ok(())
}

/// Of the entry in the folder, a little over the truth.
fn dirent_bytes(path: &str) -> u64 {
    12 + path.rsplit('/').next().map_or(0, |name| name.len() as u64)
}

/// Of what lies in blocks of its own beside a file's data, a little over the truth.
fn inode_bytes(inode: &Inode) -> u64 {
    let own = match &inode.kind {
        Kind::Directory => BLOCK,
        Kind::Symlink(target) if target.len() >= 60 => BLOCK,
        _ => 0,
    };
    own + if inode.xattrs.is_empty() { 0 } else { BLOCK }
}

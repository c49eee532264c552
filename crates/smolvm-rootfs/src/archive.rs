//! The tree as a tar archive.

use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::tree::size_changed;
use crate::{Content, Inode, Kind, RootTree};

/// What a ustar header has room for; larger ids go into a pax header.
const LARGEST_USTAR_ID: u32 = 0o777_7777;

/// Writes the tree as tar (POSIX pax), with extended attributes as `SCHILY.xattr.*` and hard links as links to the name that comes first. Sockets,
/// which tar cannot hold and no program expects to find, are left out.
pub fn write_tar(tree: &RootTree, output: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(output);
    let mut first_names = vec![None; tree.inodes.len()];
    for (path, id, inode) in tree.iter().filter(|(_, _, inode)| inode.kind != Kind::Socket) {
        match first_names[id.0 as usize] {
            Some(first) => append(&mut archive, path, inode, EntryType::Link, Some(first))?,
            None => append_inode(&mut archive, path, inode)?,
        }
        first_names[id.0 as usize] = Some(path);
    }
    archive.into_inner()?.flush()
}

fn append_inode(archive: &mut Builder<impl Write>, path: &str, inode: &Inode) -> io::Result<()> {
    let (kind, target) = match &inode.kind {
        Kind::Directory => (EntryType::Directory, None),
        Kind::File(_) => (EntryType::Regular, None),
        Kind::Symlink(target) => (EntryType::Symlink, Some(target.as_str())),
        Kind::CharDevice { .. } => (EntryType::Char, None),
        Kind::BlockDevice { .. } => (EntryType::Block, None),
        Kind::Fifo | Kind::Socket => (EntryType::Fifo, None),
    };
    append(archive, path, inode, kind, target)
}

fn append(
    archive: &mut Builder<impl Write>,
    path: &str,
    inode: &Inode,
    kind: EntryType,
    target: Option<&str>,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
    let name = if inode.is_directory() { format!("{path}/") } else { path.to_owned() };
    let name = if path.is_empty() { "./" } else { name.as_str() };
    if header.set_path(name).is_err() {
        pax.push(("path".to_owned(), name.as_bytes().to_vec()));
        header.set_path("long-name")?;
    }
    if let Some(target) = target
        && header.set_link_name_literal(target).is_err()
    {
        pax.push(("linkpath".to_owned(), target.as_bytes().to_vec()));
    }
    for (key, id) in [("uid", inode.uid), ("gid", inode.gid)] {
        if id > LARGEST_USTAR_ID {
            pax.push((key.to_owned(), id.to_string().into_bytes()));
        }
    }
    header.set_entry_type(kind);
    header.set_mode(inode.mode);
    header.set_uid(u64::from(inode.uid.min(LARGEST_USTAR_ID)));
    header.set_gid(u64::from(inode.gid.min(LARGEST_USTAR_ID)));
    header.set_mtime(u64::try_from(inode.mtime).unwrap_or_default());
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = inode.kind {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    if kind != EntryType::Link {
        pax.extend(inode.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.clone())));
    }
    archive.append_pax_extensions(pax.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;

    match &inode.kind {
        Kind::File(content) if kind == EntryType::Regular => {
            header.set_size(content.size());
            header.set_cksum();
            append_content(archive, &header, content)
        }
        _ => {
            header.set_size(0);
            header.set_cksum();
            archive.append(&header, io::empty())
        }
    }
}

fn append_content(archive: &mut Builder<impl Write>, header: &Header, content: &Content) -> io::Result<()> {
    match content {
        Content::Bytes(bytes) => archive.append(header, &bytes[..]),
        Content::File { path, size } => append_part(archive, header, content, path, *size),
        Content::Slice { file, size, .. } => append_part(archive, header, content, file, *size),
    }
}

fn append_part(
    archive: &mut Builder<impl Write>,
    header: &Header,
    content: &Content,
    path: &Path,
    size: u64,
) -> io::Result<()> {
    let Some((mut file, offset)) = content.open()? else { return Ok(()) };
    file.seek(SeekFrom::Start(offset))?;
    let mut counted = Counted { reader: file.take(size), bytes: 0 };
    archive.append(header, &mut counted)?;
    if counted.bytes == size { Ok(()) } else { Err(size_changed(path, size, counted.bytes)) }
}

/// `Builder::append` takes whatever the reader has, even if the header says otherwise.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

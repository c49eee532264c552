//! Puts a tree, or the edited part of one, into the sandbox's folder, so that scripts find it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smolvm_rootfs::{Content, Inode, InodeId, Kind, RootTree};
use smolvm_sandbox::{ON_DISK, PlaceOp};

use crate::ScratchFolder;

/// The folder below scratch in which contents wait to be placed.
const WAITING: &str = "content/edits";

/// What is at hand in the scratch folder to be placed.
#[derive(Debug)]
pub(super) struct Materials {
    scratch: PathBuf,
    /// Where the files of layers get further names, on the disk: sandboxes find it as [`ON_DISK`].
    on_disk: PathBuf,
    packs: HashMap<Arc<Path>, String>,
    waiting: usize,
}

impl Materials {
    pub(super) fn new(scratch: &ScratchFolder) -> Self {
        let on_disk = scratch.path().join(ON_DISK);
        Self { scratch: scratch.place().to_owned(), on_disk, packs: HashMap::new(), waiting: 0 }
    }

    /// The operations that make an empty folder one of `tree`, with every time as it is there.
    pub(super) fn whole(&mut self, tree: &RootTree) -> io::Result<Vec<PlaceOp>> {
        let mut ops = Vec::with_capacity(tree.len());
        let mut late = Vec::new();
        let mut names: HashMap<InodeId, &str> = HashMap::new();
        for (path, id, inode) in tree.iter() {
            if let Some(first) = names.get(&id) {
                ops.push(PlaceOp::HardLink { path: path.to_owned(), target: (*first).to_owned() });
                continue;
            }
            names.insert(id, path);
            if inode.is_directory() {
                let Inode { mode, uid, gid, mtime, .. } = *inode;
                let path = path.to_owned();
                if !path.is_empty() {
                    // What is made in a folder that gives its group away would get that group.
                    ops.push(PlaceOp::Directory { path: path.clone(), mode: mode & 0o777, uid, gid, mtime });
                    if mode & 0o7000 != 0 {
                        late.push(PlaceOp::SetMetadata { path: path.clone(), mode, uid, gid });
                    }
                }
                if !inode.xattrs.is_empty() {
                    late.push(PlaceOp::SetDirectoryAttributes { path: path.clone(), xattrs: inode.xattrs.clone() });
                }
                late.push(PlaceOp::SetDirectoryTime { path, mtime });
            } else {
                self.place(path, inode, &mut ops)?;
            }
        }
        ops.extend(late);
        Ok(ops)
    }

    /// The operations that make the folder of `before` one of `after`.
    pub(super) fn changes(&mut self, before: &RootTree, after: &RootTree) -> io::Result<Vec<PlaceOp>> {
        let mut ops: Vec<PlaceOp> = before
            .iter()
            .filter(|(path, _, _)| after.get(path).is_none())
            .map(|(path, _, _)| PlaceOp::Remove { path: path.to_owned() })
            .collect();
        for (path, _, inode) in after.iter().filter(|(path, _, inode)| before.get(path) != Some(*inode)) {
            if inode.is_directory() {
                let Inode { mode, uid, gid, mtime, .. } = *inode;
                let path = path.to_owned();
                ops.push(PlaceOp::Directory { path: path.clone(), mode, uid, gid, mtime });
                ops.push(PlaceOp::SetMetadata { path, mode, uid, gid });
            } else {
                self.place(path, inode, &mut ops)?;
            }
        }
        Ok(ops)
    }

    /// Everything but folders.
    fn place(&mut self, path: &str, inode: &Inode, ops: &mut Vec<PlaceOp>) -> io::Result<()> {
        let (path, xattrs) = (path.to_owned(), inode.xattrs.clone());
        let Inode { mode, uid, gid, mtime, .. } = *inode;
        ops.push(match &inode.kind {
            Kind::Directory => return Ok(()),
            Kind::Symlink(target) => PlaceOp::Symlink { path, target: target.clone(), uid, gid, mtime },
            Kind::File(Content::Slice { file, offset, size }) => {
                let (content, offset, size) = (self.pack(file)?, *offset, *size);
                PlaceOp::Slice { path, content, offset, size, mode, uid, gid, mtime, xattrs }
            }
            Kind::File(content) => {
                let content = self.waiting(content)?;
                PlaceOp::File { path, content, mode, uid, gid, mtime, xattrs }
            }
            Kind::Fifo | Kind::Socket => {
                let socket = matches!(inode.kind, Kind::Socket);
                PlaceOp::Special { path, socket, mode, uid, gid, mtime }
            }
            // Nobody can make one in a sandbox: so no tree that came from there has any.
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {
                return Err(io::Error::other(format!("/{path} is a device")));
            }
        });
        Ok(())
    }

    /// A content's path below scratch. Placing moves it.
    fn waiting(&mut self, content: &Content) -> io::Result<String> {
        let place = format!("{WAITING}/{}", self.waiting);
        self.waiting += 1;
        fs_err::create_dir_all(self.scratch.join(WAITING))?;
        match content {
            Content::File { path, .. } => drop(fs_err::copy(path, self.scratch.join(&place))?),
            content => fs_err::write(self.scratch.join(&place), content.read()?)?,
        }
        Ok(place)
    }

    /// The path below scratch of a layer's file: a further name of it, which nothing writes to.
    fn pack(&mut self, file: &Arc<Path>) -> io::Result<String> {
        if let Some(place) = self.packs.get(file) {
            return Ok(place.clone());
        }
        fs_err::create_dir_all(&self.on_disk)?;
        let number = self.packs.len().to_string();
        let (place, link) = (format!("{ON_DISK}/{number}"), self.on_disk.join(&number));
        // Left by a build of the same job that came to nothing.
        match fs_err::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if fs_err::hard_link(file, &link).is_err() {
            fs_err::copy(file, &link)?;
        }
        self.packs.insert(Arc::clone(file), place.clone());
        Ok(place)
    }
}

//! Puts the edited part of a tree back into the sandbox's folder, so that run steps find it.

use std::path::Path;

use smolvm_rootfs::{Content, Inode, Kind, RootTree};
use smolvm_sandbox::PlaceOp;

/// The folder below scratch in which contents wait to be placed.
const WAITING: &str = "content/edits";

/// The operations that make the folder of `before` one of `after`. Contents that are not files of the scratch folder yet
/// are written there.
pub(super) fn changes(before: &RootTree, after: &RootTree, scratch: &Path) -> std::io::Result<Vec<PlaceOp>> {
    let mut ops: Vec<PlaceOp> = before
        .iter()
        .filter(|(path, _, _)| after.get(path).is_none())
        .map(|(path, _, _)| PlaceOp::Remove { path: path.to_owned() })
        .collect();
    let changed = after.iter().filter(|(path, _, inode)| before.get(path) != Some(*inode));
    for (number, (path, _, inode)) in changed.enumerate() {
        place(path, inode, scratch, number, &mut ops)?;
    }
    Ok(ops)
}

fn place(path: &str, inode: &Inode, scratch: &Path, number: usize, ops: &mut Vec<PlaceOp>) -> std::io::Result<()> {
    let (path, mode, uid, gid, mtime) = (path.to_owned(), inode.mode, inode.uid, inode.gid, inode.mtime);
    match &inode.kind {
        Kind::Directory => {
            ops.push(PlaceOp::Directory { path: path.clone(), mode, uid, gid, mtime });
            ops.push(PlaceOp::SetMetadata { path, mode, uid, gid });
        }
        Kind::Symlink(target) => ops.push(PlaceOp::Symlink { path, target: target.clone(), uid, gid, mtime }),
        Kind::File(content) => {
            let content = waiting(content, scratch, number)?;
            ops.push(PlaceOp::File { path, content, mode, uid, gid, mtime, xattrs: inode.xattrs.clone() });
        }
        // Edits make no devices, pipes or sockets; those that scripts made are in the folder already.
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Socket => {}
    }
    Ok(())
}

/// The content's path below scratch. Placing moves it, so what an edit took from the folder itself (a copy of
/// `/etc/skel`) is copied first.
fn waiting(content: &Content, scratch: &Path, number: usize) -> std::io::Result<String> {
    let place = format!("{WAITING}/{number}");
    fs_err::create_dir_all(scratch.join(WAITING))?;
    match content {
        Content::Bytes(bytes) => fs_err::write(scratch.join(&place), bytes)?,
        Content::File { path, .. } => {
            fs_err::copy(path, scratch.join(&place))?;
        }
    }
    Ok(place)
}

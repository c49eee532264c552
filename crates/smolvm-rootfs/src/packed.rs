//! A tree whose contents lie one after the other in a file: the form in which a layer is cached.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ext4::data_ranges;
use crate::{Content, Inode, InodeId, Kind, RootTree, TreeError};

/// As much is read and hashed at a time, on all cores.
const BATCH: u64 = 16 << 20;
/// Most files of a batch.
const BATCH_FILES: usize = 512;

/// A tree whose contents lie in packs, each with its blake3.
#[derive(Debug, Clone)]
pub struct PackedTree {
    tree: RootTree,
    /// By inode; nothing for what has no content.
    digests: Vec<Option<[u8; 32]>>,
}

/// The form on disk. The packs are named there, not placed.
#[derive(Serialize, Deserialize)]
struct Stored {
    tree: RootTree,
    digests: Vec<Option<[u8; 32]>>,
}

impl PackedTree {
    /// The tree.
    pub fn tree(&self) -> &RootTree {
        &self.tree
    }

    /// The files that hold the contents.
    pub fn packs(&self) -> BTreeSet<&Path> {
        let pack = |inode| match inode {
            &Inode { kind: Kind::File(Content::Slice { ref file, .. }), .. } => Some(&**file),
            _ => None,
        };
        self.tree.inodes.iter().filter_map(pack).collect()
    }

    /// The tree with its packs under the names that `name` gives them.
    pub fn to_bytes(&self, name: impl Fn(&Path) -> Option<String>) -> io::Result<Vec<u8>> {
        let mut tree = self.tree.clone();
        for slice in slices(&mut tree) {
            let name = name(slice).ok_or_else(|| io::Error::other("a content lies in a file that has no name"))?;
            *slice = Path::new(&name).into();
        }
        postcard::to_stdvec(&Stored { tree, digests: self.digests.clone() }).map_err(io::Error::other)
    }

    /// The inverse: `place` finds a pack by its name, and says how long it is.
    pub fn from_bytes(bytes: &[u8], place: impl Fn(&str) -> Option<(Arc<Path>, u64)>) -> Result<Self, TreeError> {
        let damaged = |reason| TreeError::Damaged { reason };
        let Stored { mut tree, digests } = postcard::from_bytes(bytes).map_err(|_| damaged("it cannot be read"))?;
        let mut lengths = HashMap::new();
        for slice in slices(&mut tree) {
            let (path, length) = slice.to_str().and_then(&place).ok_or(damaged("a content is missing"))?;
            lengths.insert(Arc::clone(&path), length);
            *slice = path;
        }
        if digests.len() != tree.inodes.len() {
            return Err(damaged("a digest is missing"));
        }
        for (inode, digest) in tree.inodes.iter().zip(&digests) {
            match &inode.kind {
                Kind::File(Content::Slice { file, offset, size }) => {
                    let whole = offset.checked_add(*size).is_some_and(|end| end <= lengths[file]);
                    if !whole || digest.is_none() {
                        return Err(damaged("a content is cut off"));
                    }
                }
                Kind::File(Content::File { .. }) => return Err(damaged("a content lies elsewhere")),
                _ => {}
            }
        }
        Ok(Self { tree, digests })
    }

    fn contents(&self) -> impl Iterator<Item = ([u8; 32], &Content)> {
        self.tree.inodes.iter().zip(&self.digests).filter_map(|(inode, digest)| match &inode.kind {
            Kind::File(content @ Content::Slice { .. }) => Some(((*digest)?, content)),
            _ => None,
        })
    }
}

fn slices(tree: &mut RootTree) -> impl Iterator<Item = &mut Arc<Path>> {
    tree.inodes.iter_mut().filter_map(|inode| match &mut inode.kind {
        Kind::File(Content::Slice { file, .. }) => Some(file),
        _ => None,
    })
}

/// Writes the contents of a tree to a pack.
#[derive(Debug)]
pub struct PackWriter<'a> {
    file: &'a File,
    path: Arc<Path>,
    length: u64,
    known: HashMap<[u8; 32], Content>,
    unchanged_since: Option<SystemTime>,
}

/// A content that is not what it was any more.
#[derive(Debug, Error)]
#[error("`{path}` was changed while it was being read")]
pub struct ChangedContent {
    path: PathBuf,
}

impl ChangedContent {
    /// Whether this is what an error of [`PackWriter::pack`] says.
    pub fn is(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(inner) if inner.is::<Self>())
    }
}

impl<'a> PackWriter<'a> {
    /// A pack in an empty file that lies at `path`. Contents that `below` has are not written again.
    pub fn new(file: &'a File, path: &Path, below: Option<&PackedTree>) -> Self {
        let known = below.into_iter().flat_map(PackedTree::contents);
        Self {
            file,
            path: path.into(),
            length: 0,
            known: known.map(|(digest, content)| (digest, content.clone())).collect(),
            unchanged_since: None,
        }
    }

    /// Refuses, with [`ChangedContent`], files that were changed at this time of their file system or later: others write in their folder
    /// meanwhile.
    #[must_use]
    pub fn unchanged_since(self, time: SystemTime) -> Self {
        Self { unchanged_since: Some(time), ..self }
    }

    /// Writes what is new of a tree's contents, and gives the tree with all of them packed. Nothing is synced.
    pub fn pack(mut self, tree: &RootTree) -> io::Result<PackedTree> {
        let mut packed = PackedTree { tree: tree.clone(), digests: vec![None; tree.inodes.len()] };
        // What no path names any more.
        let mut named = vec![false; tree.inodes.len()];
        let mut batch: Vec<(InodeId, &Content)> = Vec::new();
        let mut bytes = 0;
        for (_, id, inode) in tree.iter() {
            let Kind::File(content) = &inode.kind else { continue };
            if std::mem::replace(&mut named[id.0 as usize], true) || content.size() == 0 {
                continue;
            }
            if content.size() > BATCH {
                self.flush(&mut batch, &mut packed)?;
                bytes = 0;
                let since = self.unchanged_since;
                let digest = hash_large(content).map_err(|error| if_changed(content, since, error))?;
                self.put(digest, id, content, None, &mut packed)?;
                check_unchanged(content, self.unchanged_since)?;
                continue;
            }
            bytes += content.size();
            batch.push((id, content));
            if bytes >= BATCH || batch.len() == BATCH_FILES {
                self.flush(&mut batch, &mut packed)?;
                bytes = 0;
            }
        }
        self.flush(&mut batch, &mut packed)?;
        self.file.set_len(self.length)?;
        for (inode, digest) in packed.tree.inodes.iter_mut().zip(&packed.digests) {
            if digest.is_none() && matches!(inode.kind, Kind::File(_)) {
                inode.kind = Kind::File(Content::bytes([]));
            }
        }
        Ok(packed)
    }

    /// Reads and hashes on all cores, then writes in order.
    fn flush(&mut self, batch: &mut Vec<(InodeId, &Content)>, packed: &mut PackedTree) -> io::Result<()> {
        let unchanged_since = self.unchanged_since;
        let read = |(id, content): &(InodeId, &Content)| {
            let bytes = content.read().map_err(|error| if_changed(content, unchanged_since, error))?;
            check_unchanged(content, unchanged_since)?;
            Ok((*id, *blake3::hash(&bytes).as_bytes(), bytes))
        };
        let read: Vec<_> = batch.par_iter().map(read).collect::<io::Result<_>>()?;
        let mut run = Vec::new();
        for ((id, digest, bytes), (_, content)) in read.into_iter().zip(batch.drain(..)) {
            self.put(digest, id, content, Some((bytes, &mut run)), packed)?;
        }
        self.write(&run, self.length - run.len() as u64)
    }

    /// Gives a content its place, and writes it if it is new: to the end of a run that is yet to be written, or at once.
    fn put(
        &mut self,
        digest: [u8; 32],
        id: InodeId,
        content: &Content,
        read: Option<(Vec<u8>, &mut Vec<u8>)>,
        packed: &mut PackedTree,
    ) -> io::Result<()> {
        let slice = if let Some(known) = self.known.get(&digest) {
            known.clone()
        } else {
            let (offset, size) = (self.length, content.size());
            self.length += size;
            match read {
                Some((bytes, run)) => run.extend(bytes),
                None => self.copy(content, offset)?,
            }
            let slice = Content::Slice { file: Arc::clone(&self.path), offset, size };
            self.known.insert(digest, slice.clone());
            slice
        };
        packed.digests[id.0 as usize] = Some(digest);
        packed.tree.inodes[id.0 as usize].kind = Kind::File(slice);
        Ok(())
    }

    /// Copies what is no zeros.
    fn copy(&self, content: &Content, to: u64) -> io::Result<()> {
        let mut buffer = Vec::new();
        let ranges = data_ranges(content, &mut buffer)?;
        let opened = content.open()?;
        for range in ranges {
            let mut offset = range.start;
            while offset < range.end {
                let length = usize::try_from((range.end - offset).min(1 << 20)).map_err(io::Error::other)?;
                buffer.resize(length, 0);
                match (&opened, content) {
                    (Some((file, start)), _) => file.file().read_exact_at(&mut buffer, start + offset)?,
                    (None, Content::Bytes(bytes)) => {
                        let from = usize::try_from(offset).map_err(io::Error::other)?;
                        buffer.copy_from_slice(&bytes[from..from + length]);
                    }
                    (None, _) => return Err(io::ErrorKind::NotFound.into()),
                }
                self.write(&buffer, to + offset)?;
                offset += length as u64;
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
}

/// A file that cannot be read is not what it was either, where that may be.
fn if_changed(content: &Content, since: Option<SystemTime>, error: io::Error) -> io::Error {
    match (content, since) {
        (Content::File { path, .. }, Some(_)) => io::Error::other(ChangedContent { path: path.clone() }),
        _ => error,
    }
}

/// To be asked after it was read. Of a file that was moved there since, the time of the change is that of the move.
fn check_unchanged(content: &Content, since: Option<SystemTime>) -> io::Result<()> {
    let (Content::File { path, .. }, Some(since)) = (content, since) else { return Ok(()) };
    if content.changed()?.is_some_and(|changed| changed >= since) {
        return Err(io::Error::other(ChangedContent { path: path.clone() }));
    }
    Ok(())
}

/// blake3 of a content that need not fit into memory.
fn hash_large(content: &Content) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let Some((file, start)) = content.open()? else { return Ok(*blake3::hash(&content.read()?).as_bytes()) };
    let mut buffer = vec![0; 4 << 20];
    let mut offset = 0;
    while offset < content.size() {
        let length = usize::try_from((content.size() - offset).min(buffer.len() as u64)).map_err(io::Error::other)?;
        file.file().read_exact_at(&mut buffer[..length], start + offset)?;
        hasher.update_rayon(&buffer[..length]);
        offset += length as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> Inode {
        Inode::new(Kind::File(Content::bytes(bytes)), 0o644, 0, 0, 7)
    }

    fn tree(files: &[(&str, &[u8])]) -> RootTree {
        let mut tree = RootTree::new(7);
        for (path, bytes) in files {
            tree.insert(path, file(bytes)).unwrap();
        }
        tree
    }

    fn pack(folder: &Path, name: &str, tree: &RootTree, below: Option<&PackedTree>) -> PackedTree {
        let path = folder.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        PackWriter::new(&file, &path, below).pack(tree).unwrap()
    }

    #[test]
    fn a_packed_tree_is_the_same_tree() {
        let folder = tempfile::tempdir().unwrap();
        let mut large = vec![0; usize::try_from(BATCH + (3 << 20)).unwrap()];
        large[5 << 20] = 1;
        let mut original = tree(&[("a", b"one"), ("b", b""), ("c", b"three"), ("large", &large)]);
        original.link("d", original.id("c").unwrap()).unwrap();
        original.insert("gone", file(b"gone")).unwrap();
        original.remove("gone");
        let packed = pack(folder.path(), "pack", &original, None);
        assert_eq!(crate::digest(packed.tree()).unwrap(), crate::digest(&original).unwrap());
        assert_eq!(fs_err::metadata(folder.path().join("pack")).unwrap().len(), 8 + large.len() as u64);

        let bytes = packed.to_bytes(|_| Some("name".to_owned())).unwrap();
        let place: Arc<Path> = folder.path().join("pack").into();
        let length = fs_err::metadata(&place).unwrap().len();
        let found = |length| {
            let place = Arc::clone(&place);
            PackedTree::from_bytes(&bytes, move |name| (name == "name").then(|| (Arc::clone(&place), length)))
        };
        assert_eq!(crate::digest(found(length).unwrap().tree()).unwrap(), crate::digest(&original).unwrap());
        assert!(matches!(found(length - 1), Err(TreeError::Damaged { .. })));
        assert!(matches!(PackedTree::from_bytes(&bytes, |_| None), Err(TreeError::Damaged { .. })));
        assert!(matches!(PackedTree::from_bytes(&bytes[..bytes.len() - 1], |_| None), Err(TreeError::Damaged { .. })));
    }

    #[test]
    fn a_file_that_was_changed_meanwhile_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "text").unwrap();
        let mut tree = RootTree::new(7);
        let content = Content::File { path: path.clone(), size: 4 };
        tree.insert("a", Inode::new(Kind::File(content.clone()), 0o644, 0, 0, 7)).unwrap();
        let changed = content.changed().unwrap().unwrap();
        let tick = std::time::Duration::from_millis(1);
        let pack = |number: u32, since| {
            let to = folder.path().join(number.to_string());
            let file = File::options().read(true).write(true).create_new(true).open(&to).unwrap();
            PackWriter::new(&file, &to, None).unchanged_since(since).pack(&tree).map(drop)
        };
        pack(0, changed + tick).unwrap();
        for (number, since) in [(1, changed), (2, changed - tick)] {
            assert!(ChangedContent::is(&pack(number, since).unwrap_err()));
        }
        fs_err::remove_file(&path).unwrap();
        assert!(ChangedContent::is(&pack(3, changed + tick).unwrap_err()));
    }

    #[test]
    fn what_is_known_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let below = pack(folder.path(), "below", &tree(&[("a", b"one"), ("b", b"two"), ("copy", b"one")]), None);
        assert_eq!(fs_err::read(folder.path().join("below")).unwrap(), b"onetwo");
        let above = tree(&[("a", b"one"), ("b", b"zwei"), ("moved", b"two")]);
        let packed = pack(folder.path(), "above", &above, Some(&below));
        assert_eq!(fs_err::read(folder.path().join("above")).unwrap(), b"zwei");
        assert_eq!(crate::digest(packed.tree()).unwrap(), crate::digest(&above).unwrap());
        assert_eq!(packed.packs().len(), 2);
    }
}

//! blake3 of files that are mostly holes, without hashing the holes.
//!
//! blake3 is a tree: neighbouring blocks are merged in pairs, up to the root. So the blocks that hold something can be hashed apart, in any
//! order and on all cores, and a part that is all hole is one value out of a table ([`zeros`]). The result is the plain blake3 of the file.

mod zeros;

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use rayon::prelude::*;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use zeros::{ZEROS, of_zeros};

/// What is hashed in one go, by one core. A power of two, as every part of the tree but the last one is.
pub(crate) const BLOCK: usize = 1 << 20;

/// At least so many blocks are read by one core into one buffer, one after the other.
const BLOCKS_PER_BUFFER: usize = 4;

/// The hash of one block that holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leaf {
    offset: u64,
    /// What its parent in the tree is made of; of a file that is no longer than a block, and so has no tree, the hash itself.
    value: ChainingValue,
}

impl Leaf {
    /// Of the block at an offset in a file of this size.
    pub(crate) fn new(bytes: &[u8], offset: u64, size: u64) -> Self {
        let value = if size <= BLOCK as u64 { *blake3::hash(bytes).as_bytes() } else { of_block(bytes, offset) };
        Self { offset, value }
    }
}

fn of_block(bytes: &[u8], offset: u64) -> ChainingValue {
    Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
}

/// blake3 of a file of this size, in which everything but these blocks is zeros.
///
/// Zeros beyond the table's reach are hashed, 1 MiB between two looks at `check`, whose error is handed on.
pub(crate) fn root<E: Send>(
    size: u64,
    leaves: &mut [Leaf],
    check: &(impl Fn() -> Result<(), E> + Sync),
) -> Result<blake3::Hash, E> {
    leaves.sort_unstable();
    if size <= BLOCK as u64 {
        return Ok(match leaves.first() {
            Some(leaf) => blake3::Hash::from_bytes(leaf.value),
            None => blake3::hash(&ZEROS[..usize::try_from(size).unwrap_or(BLOCK)]),
        });
    }
    let (left, right) = children(0, size, leaves, check)?;
    Ok(merge_subtrees_root(&left, &right, Mode::Hash))
}

fn subtree<E: Send>(
    start: u64,
    length: u64,
    leaves: &[Leaf],
    check: &(impl Fn() -> Result<(), E> + Sync),
) -> Result<ChainingValue, E> {
    match leaves.first() {
        None => {
            if let Some(known) = of_zeros(start, length) {
                return Ok(known);
            }
            if length <= BLOCK as u64 {
                check()?;
                return Ok(of_block(&ZEROS[..usize::try_from(length).unwrap_or(BLOCK)], start));
            }
        }
        Some(leaf) if length <= BLOCK as u64 => return Ok(leaf.value),
        Some(_) => {}
    }
    let (left, right) = children(start, length, leaves, check)?;
    Ok(merge_subtrees_non_root(&left, &right, Mode::Hash))
}

fn children<E: Send>(
    start: u64,
    length: u64,
    leaves: &[Leaf],
    check: &(impl Fn() -> Result<(), E> + Sync),
) -> Result<(ChainingValue, ChainingValue), E> {
    let left = left_subtree_len(length);
    let middle = start + left;
    let (in_left, in_right) = leaves.split_at(leaves.partition_point(|leaf| leaf.offset < middle));
    let (left, right) =
        rayon::join(|| subtree(start, left, in_left, check), || subtree(middle, length - left, in_right, check));
    Ok((left?, right?))
}

/// blake3 of a file, on all processors. What the host's file system knows to be a hole reads as zeros, and need not be read.
pub fn hash_sparse(file: &File) -> io::Result<blake3::Hash> {
    let size = file.metadata()?.len();
    let leaf = |buffer: &mut Vec<u8>, offset: &u64| {
        let length = usize::try_from(size - offset).map_or(BLOCK, |left| left.min(BLOCK));
        buffer.resize(BLOCK, 0);
        file.read_exact_at(&mut buffer[..length], *offset)?;
        Ok(Leaf::new(&buffer[..length], *offset, size))
    };
    let mut leaves = blocks_with_data(file, size)?
        .par_iter()
        .with_min_len(BLOCKS_PER_BUFFER)
        .map_init(Vec::new, leaf)
        .collect::<io::Result<Vec<Leaf>>>()?;
    let Ok(hash) = root(size, &mut leaves, &|| Ok::<(), Infallible>(()));
    Ok(hash)
}

/// Where the blocks begin that are more than hole.
fn blocks_with_data(file: &File, size: u64) -> io::Result<Vec<u64>> {
    let mut blocks = Vec::new();
    let mut offset = 0;
    while let Some(data) = next_data(file, offset, size)? {
        let first = data.start - data.start % BLOCK as u64;
        // The block that the data before ended in may be the one that this begins in.
        blocks.extend((first.max(offset)..data.end).step_by(BLOCK));
        offset = data.end.next_multiple_of(BLOCK as u64);
    }
    Ok(blocks)
}

/// All the rest is data for a file system that knows no holes.
fn next_data(file: &File, offset: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    if offset >= size {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => {
            let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
            Ok(Some(start..end.min(size)))
        }
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset..size)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;

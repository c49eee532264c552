//! How large the file system is, how many inodes it has, and what to say when the tree does not fit.

use std::ops::Range;

use mkext4::{InodeCount, InodeHandle, Layout, Options};

use super::declare::{BLOCK, Declared};
use super::{Ext4Error, Ext4Options, Ext4Size};

pub(super) const MIB: u64 = 1 << 20;

/// mke2fs's ratio: one inode for this many bytes.
const BYTES_PER_INODE: u64 = 16 << 10;
/// The densest that is made: with twice as many inodes their tables run into the backup superblock of the next group, which mkext4 does
/// not expect.
const FEWEST_BYTES_PER_INODE: u64 = 8 << 10;
/// More inodes than the tree has, where the ratio would give fewer: room for a `node_modules` in a small image.
const SPARE_INODES: u64 = 4096;
/// mkext4's inodes 1 to 10 and `lost+found`.
const OWN_INODES: u64 = 11;

const BLOCKS_PER_GROUP: u64 = 32768;
/// The metadata of so many groups lies together in the first of them (`flex_bg`).
const GROUPS_PER_FLEX: u64 = 16;
/// mke2fs leaves out a last group that has fewer free blocks than this.
const FEWEST_BLOCKS_IN_GROUP: u64 = 50;
/// ext4 needs at least 2048 blocks for a journal.
const SMALLEST: u64 = 2048 * BLOCK;

/// Blocks kept for root, percent. mke2fs's 5 is meant for disks of many users; 1 lets root log in and clean up.
const RESERVED_PERCENT: u8 = 1;

/// What `auto` adds to the tree: a fifth of it, and this.
const AUTO_SPARE: u64 = 64 * MIB;
/// Of the automatic size, before it is clear that size is not what the tree lacks.
const MOST_DOUBLINGS: u32 = 6;

/// A layout, and where in it each content goes.
pub(super) struct Sealed {
    pub(super) layout: Layout,
    contents: Vec<(InodeHandle, Vec<Range<u64>>)>,
}

/// One piece of content and its place in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// In the image.
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Index of the content.
    pub(super) content: usize,
    /// In the content.
    pub(super) content_offset: u64,
}

impl Sealed {
    /// Every piece of content by ascending place in the image.
    pub(super) fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::with_capacity(self.contents.len());
        for (content, (handle, data)) in self.contents.iter().enumerate() {
            let mut data = data.iter().cloned();
            let mut range = Range { start: 0, end: 0 };
            for (mut offset, mut length) in self.layout.extents(*handle) {
                // An extent never spans two ranges of data, but a long range has several extents.
                while length > 0 {
                    if range.is_empty() {
                        range = data.next().unwrap_or(Range { start: 0, end: length });
                    }
                    let part = length.min(range.end - range.start);
                    segments.push(Segment { offset, length: part, content, content_offset: range.start });
                    range.start += part;
                    offset += part;
                    length -= part;
                }
            }
        }
        debug_assert!(
            segments.is_sorted_by_key(|segment| segment.offset),
            "content is laid out in the order of declaration"
        );
        segments
    }
}

/// The length of the image, and the layout in it.
pub(super) fn seal(declared: &Declared<'_>, options: &Ext4Options) -> Result<(u64, Sealed), Ext4Error> {
    let asked = match options.size {
        Ext4Size::Fixed(bytes) => whole(bytes),
        Ext4Size::Auto => automatic_size(declared),
    };
    match try_size(declared, options, asked)? {
        Ok(sealed) => Ok((asked, sealed)),
        Err(reason) => Err(too_small(declared, options, asked, reason)),
    }
}

/// One attempt: the inner error is mkext4's when the tree does not fit.
fn try_size(declared: &Declared<'_>, options: &Ext4Options, size: u64) -> Result<Result<Sealed, String>, Ext4Error> {
    let needed = declared.inodes + OWN_INODES;
    let most = size / FEWEST_BYTES_PER_INODE;
    if size < SMALLEST || needed > most {
        return Ok(Err(format!("{needed} inodes do not fit")));
    }
    let inodes = (size / BYTES_PER_INODE).max((needed + needed / 4 + SPARE_INODES).min(most));
    let size = without_stunted_group(size, inodes);

    let mut mkext4_options = Options::new(size, options.uuid, options.epoch);
    mkext4_options.inodes = InodeCount::Exact(u32::try_from(inodes).unwrap_or(u32::MAX));
    mkext4_options.label = Some(options.label.clone()).filter(|label| !label.is_empty());
    mkext4_options.reserved_percent = RESERVED_PERCENT;
    for (word, bytes) in mkext4_options.hash_seed.iter_mut().zip(options.hash_seed.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let (builder, handles) = declared.declare(mkext4_options)?;
    let contents = handles.into_iter().zip(declared.contents.iter().map(|content| content.data.clone())).collect();
    Ok(builder.seal().map(|layout| Sealed { layout, contents }).map_err(|error| error.to_string()))
}

/// The size without its last group where that is too short to hold its own metadata, as mke2fs does.
fn without_stunted_group(size: u64, inodes: u64) -> u64 {
    let blocks = size / BLOCK;
    let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
    let inode_blocks = inodes.div_ceil(groups).div_ceil(16);
    let in_last = blocks - (groups - 1) * BLOCKS_PER_GROUP;
    let stunted = in_last < 2 + inode_blocks + FEWEST_BLOCKS_IN_GROUP;
    let begins_flex = (groups - 1).is_multiple_of(GROUPS_PER_FLEX);
    if groups > 1 && begins_flex && stunted { (blocks - in_last) * BLOCK } else { size }
}

pub(super) fn whole(bytes: u64) -> u64 {
    bytes.next_multiple_of(MIB)
}

pub(super) fn automatic_size(declared: &Declared<'_>) -> u64 {
    let wanted = declared.bytes + declared.bytes / 5 + AUTO_SPARE;
    let inodes = (declared.inodes + declared.inodes / 4 + OWN_INODES + SPARE_INODES) * 256;
    let mut size = 0;
    // The file system's own part depends on the whole.
    for _ in 0..4 {
        let own = journal_bytes(size) + inodes.max(size / 64) + size / 1024;
        size = (wanted + own).next_multiple_of(MIB);
    }
    size.max((declared.inodes + OWN_INODES) * 2 * FEWEST_BYTES_PER_INODE).next_multiple_of(MIB)
}

/// mke2fs's steps, which mkext4 takes too.
fn journal_bytes(size: u64) -> u64 {
    let blocks = match size / BLOCK {
        0..32768 => 1024,
        32768..262_144 => 4096,
        262_144..524_288 => 8192,
        524_288..4_194_304 => 16384,
        4_194_304..8_388_608 => 32768,
        8_388_608..16_777_216 => 65536,
        16_777_216..33_554_432 => 131_072,
        _ => 262_144,
    };
    blocks * BLOCK
}

fn too_small(declared: &Declared<'_>, options: &Ext4Options, asked: u64, reason: String) -> Ext4Error {
    match smallest(declared, options, asked / MIB) {
        Ok(Some(mebibytes)) => Ext4Error::TooSmall { asked, needed: mebibytes * MIB },
        Ok(None) => Ext4Error::Options { reason },
        Err(error) => error,
    }
}

/// Finds the size with which the tree fits, where one MiB less does not, by trying: nothing that were computed beside mkext4 could be trusted to
/// suffice. Nothing where size is not what is wrong.
fn smallest(declared: &Declared<'_>, options: &Ext4Options, too_few: u64) -> Result<Option<u64>, Ext4Error> {
    let fits = |mebibytes: u64| Ok(try_size(declared, options, mebibytes * MIB)?.is_ok());
    let mut too_few = too_few;
    let mut enough = too_few.max(automatic_size(declared) / MIB) + 1;
    let mut doublings = 0;
    while !fits(enough)? {
        if doublings == MOST_DOUBLINGS {
            return Ok(None);
        }
        doublings += 1;
        too_few = enough;
        enough *= 2;
    }
    while enough - too_few > 1 {
        let middle = too_few.midpoint(enough);
        if fits(middle)? { enough = middle } else { too_few = middle }
    }
    Ok(Some(enough))
}

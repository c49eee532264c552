//! Metadata and content in one ascending pass, written and hashed as it goes by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rayon::Scope;
use rustix::fs::{Mode, OFlags};

use super::declare::FileContent;
use super::size::Segment;
use super::{Ext4Error, declare::BLOCK};
use crate::Content;
use crate::sparse_hash::{self, BLOCK as HASHED, Leaf};

/// How many blocks of the image are in memory at most. One core does not read faster than a few of them hash, so more would not help.
const BLOCKS_IN_MEMORY: usize = 12;
/// Less than this is not waited for: the kernel writes it when it likes.
const WORTH_A_WAIT: usize = 128 << 10;
/// What the rest of a block of the file system is filled with.
static ZEROS: [u8; 4096] = [0; 4096];

/// The regions that mkext4 writes itself, ascending, neighbours joined. Zeros between them are left out.
#[derive(Default)]
pub(super) struct Metadata {
    regions: Vec<(u64, Vec<u8>)>,
}

impl mkext4::RegionSink for Metadata {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.regions.last_mut() {
            Some((start, region)) if *start + region.len() as u64 == offset => region.extend(bytes),
            _ => self.regions.push((offset, bytes.to_vec())),
        }
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the image into a file that has its length already and is one hole. Returns the hash of the whole.
pub(super) fn write(
    file: &File,
    size: u64,
    metadata: &Metadata,
    contents: &[FileContent<'_>],
    segments: &[Segment],
    stop: &AtomicBool,
) -> Result<blake3::Hash, Ext4Error> {
    let (to_root, leaves) = channel();
    let output = Output::new(file);
    // Blocks are hashed and written by all cores, while this one goes on reading.
    rayon::in_place_scope(|scope| {
        let mut image = Image::new(Workers::new(scope, &output, size, to_root), stop);
        write_regions(&mut image, metadata, contents, segments)?;
        image.zeros_until(size)?;
        image.finish_block()
    })?;
    let mut leaves: Vec<Leaf> = leaves.into_iter().collect::<io::Result<_>>().map_err(Ext4Error::Write)?;
    sparse_hash::root(size, &mut leaves, &|| check(stop))
}

fn check(stop: &AtomicBool) -> Result<(), Ext4Error> {
    if stop.load(Ordering::Relaxed) { Err(Ext4Error::Stopped) } else { Ok(()) }
}

fn write_regions(
    image: &mut Image<'_, '_>,
    metadata: &Metadata,
    contents: &[FileContent<'_>],
    segments: &[Segment],
) -> Result<(), Ext4Error> {
    let mut metadata = metadata.regions.iter().peekable();
    let mut open: Option<(usize, fs_err::File)> = None;
    // A few files with many contents each.
    let mut packs: HashMap<Arc<Path>, fs_err::File> = HashMap::new();
    for segment in segments {
        while let Some((offset, bytes)) = metadata.next_if(|(offset, _)| *offset < segment.offset) {
            image.zeros_until(*offset)?;
            image.bytes(bytes)?;
        }
        image.zeros_until(segment.offset)?;
        let FileContent { path, content, .. } = &contents[segment.content];
        let unreadable = |source| Ext4Error::Content { path: (*path).to_owned(), source };
        match content {
            Content::Bytes(bytes) => {
                let start = usize::try_from(segment.content_offset).unwrap_or(usize::MAX);
                let length = usize::try_from(segment.length).unwrap_or(usize::MAX);
                image.bytes(&bytes[start..start + length])?;
            }
            Content::File { .. } => {
                let file = match open.take() {
                    Some((content, file)) if content == segment.content => file,
                    _ => opened(content).map_err(unreadable)?.0,
                };
                image.content(&file, segment.content_offset, segment.length, unreadable)?;
                open = Some((segment.content, file));
            }
            Content::Slice { file: path, offset, .. } => {
                let file = match packs.entry(Arc::clone(path)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(opened(content).map_err(unreadable)?.0),
                };
                image.content(file, offset + segment.content_offset, segment.length, unreadable)?;
            }
        }
    }
    for (offset, bytes) in metadata {
        image.zeros_until(*offset)?;
        image.bytes(bytes)?;
    }
    Ok(())
}

fn opened(content: &Content) -> io::Result<(fs_err::File, u64)> {
    content.open()?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The image up to where it is known: the blocks before `start` are done with, and of the one that begins there `filled` bytes are known.
struct Image<'run, 'scope> {
    start: u64,
    block: Block,
    filled: usize,
    /// What of the block is no hole, but for what comes after `accounted`.
    data: Vec<Range<usize>>,
    accounted: usize,
    workers: Workers<'run, 'scope>,
    stop: &'run AtomicBool,
}

impl<'run, 'scope> Image<'run, 'scope> {
    fn new(workers: Workers<'run, 'scope>, stop: &'run AtomicBool) -> Self {
        Self { start: 0, block: Block::new(), filled: 0, data: Vec::new(), accounted: 0, workers, stop }
    }

    fn position(&self) -> u64 {
        self.start + self.filled as u64
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), Ext4Error> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.advance(now.len());
            bytes = later;
        }
        Ok(())
    }

    fn content(
        &mut self,
        file: &fs_err::File,
        start: u64,
        length: u64,
        unreadable: impl Fn(io::Error) -> Ext4Error,
    ) -> Result<(), Ext4Error> {
        let (mut offset, end) = (start, start + length);
        while offset < end {
            let room = self.room()?;
            let length = usize::try_from(end - offset).map_or(room.len(), |left| left.min(room.len()));
            // A file that became shorter since it was opened ends here.
            file.file().read_exact_at(&mut room[..length], offset).map_err(&unreadable)?;
            self.advance(length);
            offset += length as u64;
        }
        Ok(())
    }

    /// The rest of a block of the file system is written, anything longer stays a hole.
    fn zeros_until(&mut self, offset: u64) -> Result<(), Ext4Error> {
        let position = self.position();
        let in_block = position.next_multiple_of(BLOCK).min(offset) - position;
        self.bytes(&ZEROS[..usize::try_from(in_block).unwrap_or_default()])?;
        self.end_of_data();
        if offset >= self.start + HASHED as u64 {
            self.hole_until(HASHED);
            self.finish_block()?;
            self.start = offset - offset % HASHED as u64;
        }
        self.hole_until(usize::try_from(offset - self.start).unwrap_or(HASHED));
        Ok(())
    }

    fn hole_until(&mut self, end: usize) {
        self.block.bytes()[self.filled..end].fill(0);
        self.filled = end;
        self.accounted = end;
    }

    /// The free part of the block: at least one byte.
    fn room(&mut self) -> Result<&mut [u8], Ext4Error> {
        if self.filled == HASHED {
            self.finish_block()?;
        }
        Ok(&mut self.block.bytes()[self.filled..])
    }

    fn advance(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    fn end_of_data(&mut self) {
        match self.data.last_mut() {
            Some(last) if last.end == self.accounted => last.end = self.filled,
            _ if self.accounted < self.filled => self.data.push(self.accounted..self.filled),
            _ => {}
        }
        self.accounted = self.filled;
    }

    /// The next block begins where this one ends.
    fn finish_block(&mut self) -> Result<(), Ext4Error> {
        check(self.stop)?;
        self.end_of_data();
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.workers.finish(&mut self.block, self.filled, data, self.start);
        }
        self.start += self.filled as u64;
        self.filled = 0;
        self.accounted = 0;
        Ok(())
    }
}

/// Where the image is written.
struct Output<'file> {
    file: &'file File,
    /// The same file, written past the page cache, where its file system can do so. Nobody reads the image soon, and finding a page in
    /// memory for each of its own takes longer than all else.
    direct: Option<File>,
}

impl<'file> Output<'file> {
    fn new(file: &'file File) -> Self {
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let direct = rustix::fs::open(format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty());
        Self { file, direct: direct.ok().map(File::from) }
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_aligned =
            offset.is_multiple_of(BLOCK) && (bytes.len() as u64).is_multiple_of(BLOCK) && Block::is_aligned(bytes);
        if let Some(direct) = self.direct.as_ref().filter(|_| is_aligned && bytes.len() >= WORTH_A_WAIT) {
            match direct.write_all_at(bytes, offset) {
                // This disk has larger sectors.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                outcome => return outcome,
            }
        }
        self.file.write_all_at(bytes, offset)
    }
}

/// A block in memory, always of the same length: growing it would fill it with zeros just to overwrite them.
struct Block {
    memory: Vec<u8>,
    /// Where in it the block begins: where disks can fetch it from.
    start: usize,
}

impl Block {
    const ALIGNMENT: usize = 4096;

    fn new() -> Self {
        let memory = vec![0; HASHED + Self::ALIGNMENT];
        let start = memory.as_ptr().align_offset(Self::ALIGNMENT).min(Self::ALIGNMENT);
        Self { memory, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + HASHED]
    }

    fn is_aligned(bytes: &[u8]) -> bool {
        bytes.as_ptr().addr().is_multiple_of(Self::ALIGNMENT)
    }
}

/// Hands blocks to whichever core is free, to be hashed and written.
struct Workers<'run, 'scope> {
    scope: &'run Scope<'scope>,
    output: &'scope Output<'scope>,
    size: u64,
    to_root: Sender<io::Result<Leaf>>,
    give_back: Sender<Block>,
    spare: Receiver<Block>,
    blocks: usize,
}

impl<'run, 'scope> Workers<'run, 'scope> {
    fn new(
        scope: &'run Scope<'scope>,
        output: &'scope Output<'scope>,
        size: u64,
        to_root: Sender<io::Result<Leaf>>,
    ) -> Self {
        let (give_back, spare) = channel();
        // The first one is the writer's.
        Self { scope, output, size, to_root, give_back, spare, blocks: 1 }
    }

    /// Leaves another block in place of this one, or the same where all are in use: then every core is busy, and this one does the work itself.
    fn finish(&mut self, block: &mut Block, filled: usize, data: Vec<Range<usize>>, offset: u64) {
        let (output, size) = (self.output, self.size);
        let work = move |block: &mut Block| {
            let bytes = block.bytes();
            for range in data {
                output.write(&bytes[range.clone()], offset + range.start as u64)?;
            }
            Ok(Leaf::new(&bytes[..filled], offset, size))
        };
        let Some(next) = self.next() else {
            // Who receives them waits for the end.
            let _ = self.to_root.send(work(block));
            return;
        };
        let mut block = std::mem::replace(block, next);
        let (to_root, give_back) = (self.to_root.clone(), self.give_back.clone());
        self.scope.spawn(move |_| {
            let _ = to_root.send(work(&mut block));
            // After a failure nobody takes it.
            let _ = give_back.send(block);
        });
    }

    fn next(&mut self) -> Option<Block> {
        if let Ok(spare) = self.spare.try_recv() {
            return Some(spare);
        }
        (self.blocks < BLOCKS_IN_MEMORY).then(|| {
            self.blocks += 1;
            Block::new()
        })
    }
}

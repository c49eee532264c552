//! Metadata and content put together, hashed and written, a block of the image at a time on every core.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{Mode, OFlags};

use super::declare::FileContent;
use super::size::Segment;
use super::{Ext4Error, declare::BLOCK};
use crate::Content;
use crate::sparse_hash::{self, BLOCK as HASHED, Leaf};

/// Less than this is not waited for: the kernel writes it when it likes.
const WORTH_A_WAIT: usize = 128 << 10;

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
    let blocks = plan(metadata, segments);
    let writer = Writer { output: Output::new(file), size, contents, packs: Packs::open(contents)?, stop };
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Leaf>, Ext4Error> {
        let mut memory = Block::new();
        let mut leaves = Vec::new();
        while let Some(planned) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            leaves.push(writer.write(planned, &mut memory)?);
        }
        Ok(leaves)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let done: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads.min(blocks.len())).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut leaves = done.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    sparse_hash::root(size, &mut leaves, &|| check(stop))
}

fn check(stop: &AtomicBool) -> Result<(), Ext4Error> {
    if stop.load(Ordering::Relaxed) { Err(Ext4Error::Stopped) } else { Ok(()) }
}

/// A block of the image that is no hole.
struct Planned<'a> {
    offset: u64,
    /// What is in it, ascending.
    pieces: Vec<Piece<'a>>,
}

/// A part of a block, which begins at `at` in it.
struct Piece<'a> {
    at: usize,
    length: usize,
    source: Source<'a>,
}

enum Source<'a> {
    Bytes(&'a [u8]),
    /// Of a content, from an offset on.
    Content {
        content: usize,
        offset: u64,
    },
}

/// Divides everything into blocks.
fn plan<'a>(metadata: &'a Metadata, segments: &[Segment]) -> Vec<Planned<'a>> {
    let mut blocks: Vec<Planned<'a>> = Vec::new();
    let mut add = |start: u64, length: u64, source: &dyn Fn(u64, usize) -> Source<'a>| {
        let mut done = 0;
        while done < length {
            let at = (start + done) % HASHED as u64;
            let offset = start + done - at;
            let part = (length - done).min(HASHED as u64 - at);
            if blocks.last().is_none_or(|block| block.offset != offset) {
                blocks.push(Planned { offset, pieces: Vec::new() });
            }
            // Both are below a block's length.
            let (at, part) = (usize::try_from(at).unwrap_or(HASHED), usize::try_from(part).unwrap_or(HASHED));
            if let Some(block) = blocks.last_mut() {
                block.pieces.push(Piece { at, length: part, source: source(done, part) });
            }
            done += part as u64;
        }
    };
    let mut regions = metadata.regions.iter().peekable();
    let region = |bytes: &'a [u8]| {
        move |done: u64, length: usize| {
            let start = usize::try_from(done).unwrap_or(usize::MAX);
            Source::Bytes(&bytes[start..start + length])
        }
    };
    for segment in segments {
        while let Some((offset, bytes)) = regions.next_if(|(offset, _)| *offset < segment.offset) {
            add(*offset, bytes.len() as u64, &region(bytes));
        }
        add(segment.offset, segment.length, &|done, _| Source::Content {
            content: segment.content,
            offset: segment.content_offset + done,
        });
    }
    for (offset, bytes) in regions {
        add(*offset, bytes.len() as u64, &region(bytes));
    }
    blocks
}

/// A few files with many contents each.
struct Packs(HashMap<Arc<Path>, fs_err::File>);

impl Packs {
    fn open(contents: &[FileContent<'_>]) -> Result<Self, Ext4Error> {
        let mut packs = HashMap::new();
        for FileContent { path, content, .. } in contents {
            if let Content::Slice { file, .. } = content
                && !packs.contains_key(file)
            {
                packs.insert(Arc::clone(file), opened(content).map_err(|error| unreadable(path, error))?);
            }
        }
        Ok(Self(packs))
    }
}

fn opened(content: &Content) -> io::Result<fs_err::File> {
    content.open()?.map(|(file, _)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn unreadable(path: &str, source: io::Error) -> Ext4Error {
    Ext4Error::Content { path: path.to_owned(), source }
}

/// What every thread needs.
struct Writer<'a> {
    output: Output<'a>,
    size: u64,
    contents: &'a [FileContent<'a>],
    packs: Packs,
    stop: &'a AtomicBool,
}

impl Writer<'_> {
    /// Fills, writes and hashes one block.
    fn write(&self, planned: &Planned<'_>, memory: &mut Block) -> Result<Leaf, Ext4Error> {
        check(self.stop)?;
        // The last one may be shorter.
        let length = usize::try_from(self.size - planned.offset).map_or(HASHED, |left| left.min(HASHED));
        let bytes = &mut memory.bytes()[..length];
        let mut filled = 0;
        for piece in &planned.pieces {
            bytes[filled..piece.at].fill(0);
            filled = piece.at + piece.length;
            self.read(&piece.source, &mut bytes[piece.at..filled])?;
        }
        bytes[filled..].fill(0);
        for range in data(&planned.pieces, length) {
            let offset = planned.offset + range.start as u64;
            self.output.write(&bytes[range], offset).map_err(Ext4Error::Write)?;
        }
        Ok(Leaf::new(bytes, planned.offset, self.size))
    }

    fn read(&self, source: &Source<'_>, to: &mut [u8]) -> Result<(), Ext4Error> {
        let (content, start) = match source {
            Source::Bytes(bytes) => {
                to.copy_from_slice(bytes);
                return Ok(());
            }
            Source::Content { content, offset } => (&self.contents[*content], *offset),
        };
        match content.content {
            Content::Bytes(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                to.copy_from_slice(&bytes[start..start + to.len()]);
                Ok(())
            }
            // A file that became shorter since it was listed ends here.
            Content::File { .. } => opened(content.content).and_then(|file| file.file().read_exact_at(to, start)),
            Content::Slice { file, offset, .. } => self.packs.0[file].file().read_exact_at(to, offset + start),
        }
        .map_err(|error| unreadable(content.path, error))
    }
}

/// What of a block is written: the blocks of the file system that have something in them. Anything else stays a hole.
fn data(pieces: &[Piece<'_>], length: usize) -> Vec<Range<usize>> {
    let block = usize::try_from(BLOCK).unwrap_or(HASHED);
    let mut data: Vec<Range<usize>> = Vec::new();
    for piece in pieces {
        let start = piece.at - piece.at % block;
        let end = (piece.at + piece.length).next_multiple_of(block).min(length);
        match data.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => data.push(start..end),
        }
    }
    data
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

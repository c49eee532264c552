//! Metadata and content in one ascending pass, written and hashed as it goes by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::declare::FileContent;
use super::size::Segment;
use super::{Ext4Error, declare::BLOCK};
use crate::Content;

/// What is written with one system call, and hashed in one go.
const BUFFER: usize = 2 << 20;
/// How far reading may run ahead of hashing.
const BUFFERS_AHEAD: usize = 4;
/// How much of a hole is hashed before somebody looks whether to stop.
const HOLE: u64 = 64 << 20;
/// Stands for every hole when hashing. It lies in memory that is never written, and fits a core's cache.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

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
    std::thread::scope(|scope| {
        let (to_hash, pieces) = sync_channel(BUFFERS_AHEAD);
        let (give_back, spare) = channel();
        let hasher = scope.spawn(move || hash(&pieces, &give_back));
        let mut image = Image { file, position: 0, buffer: vec![0; BUFFER], filled: 0, to_hash, spare, stop };
        let written = write_regions(&mut image, metadata, contents, segments)
            .and_then(|()| image.zeros_until(size))
            .and_then(|()| image.flush());
        drop(image);
        let hash = hasher.join().map_err(|_| Ext4Error::Write(io::Error::other("hashing the image failed")))?;
        written.map(|()| hash)
    })
}

fn write_regions(
    image: &mut Image<'_>,
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

/// The image up to `position`, of which the last `filled` bytes wait in the buffer and the rest is written and on its way to the hash.
struct Image<'file> {
    file: &'file File,
    position: u64,
    /// Always as long as [`BUFFER`]: growing it would fill it with zeros just to overwrite them.
    buffer: Vec<u8>,
    filled: usize,
    to_hash: SyncSender<Piece>,
    spare: Receiver<Vec<u8>>,
    stop: &'file AtomicBool,
}

enum Piece {
    /// As many bytes of a buffer.
    Bytes(Vec<u8>, usize),
    Zeros(u64),
}

impl Image<'_> {
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

    /// The rest of a block is written, anything longer stays a hole.
    fn zeros_until(&mut self, offset: u64) -> Result<(), Ext4Error> {
        let in_block = self.position.next_multiple_of(BLOCK).min(offset) - self.position;
        self.bytes(&ZEROS[..usize::try_from(in_block).unwrap_or_default()])?;
        if offset > self.position {
            self.flush()?;
        }
        while offset > self.position {
            self.check()?;
            let length = (offset - self.position).min(HOLE);
            // The hasher only goes away when it panics, which joining it reports.
            let _ = self.to_hash.send(Piece::Zeros(length));
            self.position += length;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Ext4Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Ext4Error::Stopped) } else { Ok(()) }
    }

    /// The free part of the buffer: at least one byte.
    fn room(&mut self) -> Result<&mut [u8], Ext4Error> {
        if self.filled == BUFFER {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn advance(&mut self, bytes: usize) {
        self.filled += bytes;
        self.position += bytes as u64;
    }

    fn flush(&mut self) -> Result<(), Ext4Error> {
        self.check()?;
        if self.filled == 0 {
            return Ok(());
        }
        let start = self.position - self.filled as u64;
        self.file.write_all_at(&self.buffer[..self.filled], start).map_err(Ext4Error::Write)?;
        let next = self.spare.try_recv().unwrap_or_else(|_| vec![0; BUFFER]);
        let _ = self.to_hash.send(Piece::Bytes(std::mem::replace(&mut self.buffer, next), self.filled));
        self.filled = 0;
        Ok(())
    }
}

fn hash(pieces: &Receiver<Piece>, give_back: &Sender<Vec<u8>>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes, filled) => {
                hasher.update_rayon(&bytes[..filled]);
                let _ = give_back.send(bytes);
            }
            Piece::Zeros(mut length) => {
                while length > 0 {
                    let now = usize::try_from(length).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                    hasher.update_rayon(&ZEROS[..now]);
                    length -= now as u64;
                }
            }
        }
    }
    hasher.finalize()
}

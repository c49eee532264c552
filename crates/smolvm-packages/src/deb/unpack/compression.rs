//! Decompression, with a limit on what comes out.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, IGNORE_CHECK, Stream};

use super::UnpackProblem;

/// Compressed bytes read at once.
const READ_SIZE: usize = 128 << 10;

/// What decompressing one package may take of memory. `xz -9` asks for 65 MiB.
const XZ_MEMORY: u64 = 160 << 20;

/// The largest window of a zstd stream: 128 MiB, what `zstd` itself accepts unasked.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a member is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// By what follows `.tar` in the member's name.
    pub(super) fn of(suffix: &str) -> Option<Self> {
        match suffix {
            "" => Some(Self::None),
            ".gz" => Some(Self::Gzip),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The content of `reader`, of which no more than `budget` allows is handed out.
    pub(super) fn open<R: Read>(self, reader: R, budget: &Rc<Budget>) -> io::Result<Limited<Decoder<R>>> {
        let reader = BufReader::with_capacity(READ_SIZE, reader);
        let decoder = match self {
            Self::None => Decoder::None(reader),
            Self::Gzip => Decoder::Gzip(MultiGzDecoder::new(reader)),
            Self::Xz => {
                // What is decompressed was verified as a whole; its own sums, a tenth of the time, would say nothing new.
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED | IGNORE_CHECK)?;
                Decoder::Xz(XzDecoder::new_stream(reader, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(reader)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Decoder::Zstd(decoder)
            }
        };
        Ok(Limited { reader: decoder, budget: Rc::clone(budget) })
    }
}

/// One of the decoders.
pub(super) enum Decoder<R: Read> {
    None(BufReader<R>),
    Gzip(MultiGzDecoder<BufReader<R>>),
    Xz(XzDecoder<BufReader<R>>),
    Zstd(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            // Past the buffer when the request is large.
            Self::None(reader) if reader.buffer().is_empty() && buffer.len() >= READ_SIZE => reader.read(buffer),
            Self::None(reader) => {
                let available = reader.fill_buf()?;
                let read = available.len().min(buffer.len());
                buffer[..read].copy_from_slice(&available[..read]);
                reader.consume(read);
                Ok(read)
            }
            Self::Gzip(reader) => reader.read(buffer),
            Self::Xz(reader) => reader.read(buffer),
            Self::Zstd(reader) => reader.read(buffer),
        }
    }
}

/// How much may still be read.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
    /// What the archive's own structure may still take before the next entry: names and attributes are held in memory.
    header_left: Cell<Option<u64>>,
    exceeded: Cell<Option<Exceeded>>,
    allowed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Exceeded {
    Total,
    Header,
}

/// Names, link targets and attributes of one entry; the kernel allows 4 KiB for a name and 64 KiB for an attribute.
const HEADER_BYTES: u64 = 1 << 20;

impl Budget {
    /// `allowed` bytes altogether.
    pub(super) fn new(allowed: u64) -> Rc<Self> {
        Rc::new(Self { left: Cell::new(allowed), header_left: Cell::new(None), exceeded: Cell::new(None), allowed })
    }

    /// What comes next is the description of an entry.
    pub(super) fn begin_header(&self) {
        self.header_left.set(Some(HEADER_BYTES));
    }

    /// What comes next is an entry's content.
    pub(super) fn begin_content(&self) {
        self.header_left.set(None);
    }

    /// What a failed read means.
    #[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
    pub(super) fn problem(&self, error: io::Error) -> UnpackProblem {
        match self.exceeded.get() {
            Some(Exceeded::Total) => self.too_large(),
            Some(Exceeded::Header) => {
                UnpackProblem::TooLarge { what: "an entry whose name and attributes are endless".to_owned() }
            }
            None => UnpackProblem::Damaged { reason: format!("its content is damaged: {error}") },
        }
    }

    /// The problem of having more than was allowed.
    pub(super) fn too_large(&self) -> UnpackProblem {
        UnpackProblem::TooLarge {
            what: format!("more than {} MiB, which is more than its size allows", self.allowed >> 20),
        }
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        if let Some(left) = self.header_left.get() {
            let Some(left) = left.checked_sub(bytes) else {
                return Err(self.exceed(Exceeded::Header));
            };
            self.header_left.set(Some(left));
        }
        let Some(left) = self.left.get().checked_sub(bytes) else {
            return Err(self.exceed(Exceeded::Total));
        };
        self.left.set(left);
        Ok(())
    }

    fn exceed(&self, exceeded: Exceeded) -> io::Error {
        self.exceeded.set(Some(exceeded));
        io::Error::other("too large")
    }
}

/// A reader whose budget is charged for what it hands out.
pub(super) struct Limited<R> {
    reader: R,
    budget: Rc<Budget>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.budget.take(read as u64)?;
        Ok(read)
    }
}

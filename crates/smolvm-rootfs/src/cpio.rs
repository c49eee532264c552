//! cpio in the `newc` format, as the kernel takes it for an initrd.

use std::io::{self, Write};

/// Everything is padded to this.
const ALIGNMENT: u64 = 4;
const TRAILER: &str = "TRAILER!!!";
/// What the size field, eight hex digits, has room for.
const LARGEST_FILE: u64 = u32::MAX as u64;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;
const BLOCK_DEVICE: u32 = 0o060_000;

/// Writes an archive entry by entry. Everything belongs to root, inode numbers count up, and all times are the one that is given.
///
/// The kernel makes no folders on its own: they must be written before what they hold.
#[derive(Debug)]
pub struct CpioWriter<W> {
    output: W,
    written: u64,
    mtime: u32,
    next_inode: u32,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

impl<W: Write> CpioWriter<W> {
    /// An archive whose entries all have this time (seconds since 1970; what the format cannot hold becomes the nearest that it can).
    pub fn new(output: W, mtime: i64) -> Self {
        let mtime = u32::try_from(mtime.max(0)).unwrap_or(u32::MAX);
        Self { output, written: 0, mtime, next_inode: 1 }
    }

    /// A folder.
    pub fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(path, DIRECTORY | mode, 2, (0, 0), b"")
    }

    /// A regular file.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | mode, 1, (0, 0), bytes)
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, SYMLINK | 0o777, 1, (0, 0), target.as_bytes())
    }

    /// A device node.
    pub fn device(&mut self, path: &str, mode: u32, kind: DeviceKind, major: u32, minor: u32) -> io::Result<()> {
        let kind = match kind {
            DeviceKind::Char => CHAR_DEVICE,
            DeviceKind::Block => BLOCK_DEVICE,
        };
        self.entry(path, kind | mode, 1, (major, minor), b"")
    }

    /// Writes the end mark and hands the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.next_inode = 0;
        self.mtime = 0;
        self.entry(TRAILER, 0, 1, (0, 0), b"")?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn entry(&mut self, path: &str, mode: u32, links: u32, (major, minor): (u32, u32), bytes: &[u8]) -> io::Result<()> {
        let path = path.trim_start_matches('/');
        if path.is_empty() || path.contains('\0') || bytes.len() as u64 > LARGEST_FILE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{path}` cannot be stored in a cpio archive"),
            ));
        }
        let fields = [
            self.next_inode,
            mode,
            0,
            0,
            links,
            self.mtime,
            u32::try_from(bytes.len()).unwrap_or_default(),
            0,
            0,
            major,
            minor,
            u32::try_from(path.len() + 1).unwrap_or_default(),
            0,
        ];
        let mut header = String::from("070701");
        header.extend(fields.iter().map(|field| format!("{field:08X}")));
        self.write(header.as_bytes())?;
        self.write(path.as_bytes())?;
        self.write(b"\0")?;
        self.pad()?;
        self.write(bytes)?;
        self.pad()?;
        self.next_inode += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.write(&[0; 4][..usize::try_from(padding).unwrap_or_default()])
    }
}

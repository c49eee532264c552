//! The build context, made while it is sent.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::Stream;
use smolvm_render::{PlannedContent, PlannedFile};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

/// Bytes sent at once.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the daemon.
const AHEAD: usize = 4;

/// The files as a tar stream, in their order: times are the epoch, owners root, so that equal files give equal bytes and
/// Docker's own cache knows them again.
///
/// A local file that is not what was digested when the Smolfile was read ends the stream with an error.
pub(super) fn stream(files: Vec<PlannedFile>, epoch: i64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { sender: sender.clone(), waiting: Vec::with_capacity(PIECE) };
        let written = write(&files, epoch, &mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = written {
            // Nobody reads any more, or somebody does and learns why this ends.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}

fn write(files: &[PlannedFile], epoch: i64, output: &mut Pieces) -> io::Result<()> {
    let mut archive = Builder::new(output);
    for file in files {
        let mut header = Header::new_ustar();
        header.set_mode(file.mode);
        header.set_mtime(u64::try_from(epoch).unwrap_or_default());
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match &file.content {
            PlannedContent::Directory => {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, format!("{}/", file.path), io::empty())?;
            }
            PlannedContent::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, &file.path, target)?;
            }
            PlannedContent::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, &file.path, bytes.as_slice())?;
            }
            PlannedContent::Local { path, blake3 } => {
                let local = fs_err::File::open(path)?;
                let size = local.metadata()?.len();
                header.set_size(size);
                let mut hashed = Hashed { reader: local.take(size), hasher: blake3::Hasher::new(), read: 0 };
                archive.append_data(&mut header, &file.path, &mut hashed)?;
                if hashed.read != size || hashed.hasher.finalize().to_hex().as_str() != blake3 {
                    let path = path.display();
                    return Err(io::Error::other(format!("`{path}` changed while the image was being built")));
                }
            }
        }
    }
    archive.into_inner().map(drop)
}

struct Hashed<R> {
    reader: R,
    hasher: blake3::Hasher,
    read: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

/// Collects what is written into pieces for the other side.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    fn sent(files: Vec<PlannedFile>) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let pieces: Vec<Bytes> = stream(files, 1_000).try_collect().await?;
            Ok(pieces.concat())
        })
    }

    fn planned(path: &str, content: PlannedContent, mode: u32) -> PlannedFile {
        PlannedFile { path: path.to_owned(), content, mode }
    }

    #[test]
    fn modes_links_and_long_names_travel_and_equal_files_give_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path().join("tool");
        fs_err::write(&local, vec![b'x'; 700 << 10]).unwrap();
        let blake3 = blake3::hash(&fs_err::read(&local).unwrap()).to_hex().to_string();
        let long = format!("files/0/{}/{}", "a".repeat(120), "b".repeat(120));
        let files = vec![
            planned("Dockerfile", PlannedContent::Bytes(b"FROM x\n".to_vec()), 0o644),
            planned("files/0", PlannedContent::Directory, 0o755),
            planned("files/0/link", PlannedContent::Symlink("../elsewhere".to_owned()), 0o777),
            planned(&long, PlannedContent::Local { path: local, blake3 }, 0o4755),
        ];
        let bytes = sent(files.clone()).unwrap();
        assert!(bytes == sent(files).unwrap());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let target = entry.link_name().unwrap().map(|target| format!(" -> {}", target.display()));
                format!(
                    "{}{} {:o} {} {}",
                    entry.path().unwrap().display(),
                    target.unwrap_or_default(),
                    header.mode().unwrap(),
                    header.size().unwrap(),
                    header.mtime().unwrap()
                )
            })
            .collect();
        let wanted = [
            "Dockerfile 644 7 1000".to_owned(),
            "files/0/ 755 0 1000".to_owned(),
            "files/0/link -> ../elsewhere 777 0 1000".to_owned(),
            format!("{long} 4755 {} 1000", 700 << 10),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_file_that_changed_since_it_was_digested_ends_the_stream() {
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path().join("conf");
        fs_err::write(&local, "new").unwrap();
        let blake3 = blake3::hash(b"old").to_hex().to_string();
        let error = sent(vec![planned("files/0", PlannedContent::Local { path: local, blake3 }, 0o644)]).unwrap_err();
        assert!(error.to_string().contains("changed while the image was being built"), "{error}");
    }
}

//! The one way in which this crate reads a file of the user's, and writes one that somebody may be reading.

use std::io::{self, Write as _};
use std::path::Path;

/// Far above any Smolfile or lock: more than this is not even read.
const LARGEST: u64 = 16 << 20;

/// Reads a Smolfile or a lock, which must be a regular file of a sane size: a pipe would never end, and a device neither.
pub(crate) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other(format!("it has {} bytes, which no such file has", metadata.len())));
    }
    std::fs::read(path)
}

/// Writes a file that is there whole or not at all: a temporary file in the same folder, synced, renamed, the folder synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".smolvm-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_a_sane_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, large, small) =
            (folder.path().join("pipe"), folder.path().join("large"), folder.path().join("small"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        fs_err::File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        fs_err::write(&small, "text").unwrap();
        for path in [&pipe, Path::new("/dev/zero"), folder.path(), &large] {
            assert_eq!(read_small(path).unwrap_err().kind(), io::ErrorKind::Other, "{}", path.display());
        }
        assert_eq!(read_small(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_small(&small).unwrap(), b"text");
    }
}

//! Where a file is nothing but zeros, so that the image need not hold them.
//!
//! Only what the bytes are counts, never where the host's own file happens to have holes: the image must not tell who built it.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::Content;

/// Below this size a file is not looked through: almost no small file has a hole worth its entry in the extent tree.
const LOOKED_THROUGH_FROM: u64 = 1 << 20;
/// Smallest run of zeros that becomes a hole, and the unit in which is looked: a multiple of ext4's 4096.
const UNIT: usize = 64 << 10;
const READ_AT_ONCE: usize = 16 * UNIT;

/// The parts of a content that hold something, ascending; everything else is zeros. Every start, and every end but the file's own, is a
/// multiple of 4096.
pub(crate) fn data_ranges(content: &Content, buffer: &mut Vec<u8>) -> io::Result<Vec<Range<u64>>> {
    let size = content.size();
    if size == 0 {
        return Ok(Vec::new());
    }
    if size < LOOKED_THROUGH_FROM {
        return Ok(vec![Range { start: 0, end: size }]);
    }
    let mut ranges = Vec::new();
    let Some((file, start)) = content.open()? else {
        let Content::Bytes(bytes) = content else { return Ok(ranges) };
        add_data(&mut ranges, 0, bytes);
        return Ok(ranges);
    };
    buffer.resize(READ_AT_ONCE, 0);
    let mut offset = 0;
    while offset < size {
        // What the host's file system knows to be a hole need not be read.
        match rustix::fs::seek(file.file(), SeekFrom::Data(start + offset)) {
            Ok(data) => {
                let data = data - start;
                offset = offset.max(data - data % UNIT as u64);
            }
            Err(Errno::NXIO) => break,
            // One that does not know.
            Err(_) => {}
        }
        // Nothing but a hole up to the end of this content.
        if offset >= size {
            break;
        }
        let length = usize::try_from(size - offset).map_or(READ_AT_ONCE, |left| left.min(READ_AT_ONCE));
        file.file().read_exact_at(&mut buffer[..length], start + offset)?;
        add_data(&mut ranges, offset, &buffer[..length]);
        offset += length as u64;
    }
    Ok(ranges)
}

fn add_data(ranges: &mut Vec<Range<u64>>, offset: u64, bytes: &[u8]) {
    for (index, unit) in bytes.chunks(UNIT).enumerate() {
        if is_zero(unit) {
            continue;
        }
        let start = offset + (index * UNIT) as u64;
        let end = start + unit.len() as u64;
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(Range { start, end }),
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Reading it would take longer than anybody waits.
    #[test]
    fn what_the_host_knows_to_be_a_hole_is_not_read() {
        const SIZE: u64 = 8 << 40;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("content");
        let mut file = fs_err::File::create(&path).unwrap();
        file.write_all(b"begin").unwrap();
        file.file().write_all_at(b"middle", 4 << 40).unwrap();
        file.set_len(SIZE).unwrap();
        let unit = UNIT as u64;
        let ranges = data_ranges(&Content::File { path, size: SIZE }, &mut Vec::new()).unwrap();
        assert_eq!(ranges, [0..unit, 4 << 40..(4 << 40) + unit]);
    }

    fn check(size: usize, ones: &[usize], expected: &[Range<u64>]) {
        let mut bytes = vec![0; size];
        for one in ones {
            bytes[*one] = 1;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("content");
        fs_err::write(&path, &bytes).unwrap();
        for content in [Content::bytes(bytes), Content::File { path, size: size as u64 }] {
            assert_eq!(data_ranges(&content, &mut Vec::new()).unwrap(), expected, "{content:?}");
        }
    }

    #[test]
    fn long_runs_of_zeros_are_left_out() {
        let unit = UNIT as u64;
        check(0, &[], &[]);
        check(100, &[], &[Range { start: 0, end: 100 }]);
        check(3 << 20, &[], &[]);
        check((3 << 20) + 5, &[0, (3 << 20) + 4], &[0..unit, 3 << 20..(3 << 20) + 5]);
        check(2 << 20, &[READ_AT_ONCE - 1, READ_AT_ONCE], &[Range { start: (1 << 20) - unit, end: (1 << 20) + unit }]);
    }
}

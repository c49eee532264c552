use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

const MIB: u64 = BLOCK as u64;

/// A file with these pieces of data, each at its place, as bytes and with holes between them.
fn sparse(size: u64, pieces: &[Range<u64>]) -> (Vec<u8>, File) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for piece in pieces {
        let piece = usize::try_from(piece.start).unwrap()..usize::try_from(piece.end).unwrap();
        for (index, byte) in bytes[piece.clone()].iter_mut().enumerate() {
            *byte = u8::try_from(index % 251).unwrap() + 1;
        }
        file.write_all_at(&bytes[piece.clone()], u64::try_from(piece.start).unwrap()).unwrap();
    }
    (bytes, file)
}

fn check(size: u64, pieces: &[Range<u64>]) {
    let (bytes, file) = sparse(size, pieces);
    let expected = Hasher::new().update_rayon(&bytes).finalize();
    assert_eq!(hash_sparse(&file).unwrap(), expected, "{size} bytes, of which {pieces:?}");
}

#[test]
fn sizes_of_none_one_and_a_few_blocks() {
    for size in [0, 1, 1023, 1024, 1025, MIB - 1, MIB, MIB + 1, MIB + 1024, 2 * MIB, 3 * MIB - 1, 3 * MIB, 5 * MIB + 7]
    {
        check(size, &[]);
        check(size, &[Range { start: 0, end: size }]);
        check(size, &[Range { start: size / 2, end: size / 2 + size.min(1) }]);
        check(size, &[Range { start: size.saturating_sub(1), end: size }]);
    }
}

#[test]
fn long_holes_before_between_and_after() {
    check(200 * MIB, &[]);
    check(200 * MIB + 5, &[0..3, 130 * MIB - 1..130 * MIB + 1]);
    check(193 * MIB, &[64 * MIB..65 * MIB, 128 * MIB - 1..128 * MIB]);
    check(256 * MIB, &[Range { start: 255 * MIB, end: 256 * MIB }]);
}

/// Sizes up to `most` bytes, with pieces of data in them.
fn pattern(most: u64, longest: u64) -> impl Strategy<Value = (u64, Vec<Range<u64>>)> {
    (0..=most).prop_flat_map(move |size| {
        let piece = (0..=size, 0..=longest).prop_map(move |(start, length)| start..(start + length).min(size));
        (Just(size), prop::collection::vec(piece, 0..6))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_files((size, pieces) in pattern(12 * MIB, 2 * MIB)) {
        check(size, &pieces);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_files((size, pieces) in pattern(300 * MIB, 10 * MIB)) {
        check(size, &pieces);
    }
}

/// Inside the reach of both levels of the table, across the end of the first, across the end of the second.
#[test]
fn holes_beyond_the_tables_reach_are_hashed() {
    let length = 128 * MIB;
    for start in [4096 * MIB - length, 4096 * MIB, 200_000 * MIB / length * length, 4096 * 64 * MIB, 1 << 60] {
        for byte in [0, 1] {
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            bytes[BLOCK] = byte;
            let leaf = Leaf::new(&bytes[BLOCK..2 * BLOCK], start + MIB, u64::MAX);
            let leaves = if byte == 0 { &[][..] } else { &[leaf] };
            let Ok(found) = subtree(start, length, leaves, &|| Ok::<(), Infallible>(()));
            let expected = Hasher::new().set_input_offset(start).update_rayon(&bytes).finalize_non_root();
            assert_eq!(found, expected, "at {start}, with {byte}");
        }
    }
}

/// All holes of the file lie in the table's reach, so nothing is hashed: somebody who looks at the clock sees no time go by.
#[test]
fn a_long_hole_in_the_tables_reach_is_not_hashed() {
    let hashed = AtomicU32::new(0);
    let count = || {
        hashed.fetch_add(1, Ordering::Relaxed);
        Ok::<(), Infallible>(())
    };
    let hash_of = |mebibytes: u64, data: &[u64]| {
        let mut leaves: Vec<Leaf> = data.iter().map(|block| Leaf::new(b"data", block * MIB, u64::MAX)).collect();
        let Ok(_) = root(mebibytes * MIB, &mut leaves, &count);
        hashed.swap(0, Ordering::Relaxed)
    };
    assert_eq!(hash_of(200 * 1024, &[]), 0);
    assert_eq!(hash_of(4096, &[3, 1000, 4095]), 0);
    assert_eq!(hash_of(200 * 1024, &[100_000]), 63, "the other blocks of the 64 MiB in which there is data");
    assert_eq!(hash_of(256 * 1024 + 64, &[]), 64, "beyond the table");
}

/// A file of 8 TiB takes an hour.
#[test]
fn hashing_stops_where_it_is_told_to() {
    let looks = AtomicU32::new(0);
    let third = || if looks.fetch_add(1, Ordering::Relaxed) < 2 { Ok(()) } else { Err("stopped") };
    assert_eq!(root(8 << 40, &mut [], &third), Err("stopped"));
}

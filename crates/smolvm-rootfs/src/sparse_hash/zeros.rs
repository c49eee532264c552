//! What parts of a file that are all zeros add to its blake3.
//!
//! Each 1024 bytes are hashed together with their place in the file, so zeros have another value at every place. `zeros.bin` holds the values
//! that images need: those of [`LEVELS`], one level after the other, each by ascending place, 32 bytes each. Anybody can make it again, in
//! a minute or a few:
//!
//! ```text
//! UPDATE_ZEROS=1 cargo test -p smolvm-rootfs every_value -- --ignored
//! ```
//!
//! Without `UPDATE_ZEROS` that compares all of it. The tests that always run compare values here and there.

use blake3::hazmat::ChainingValue;

use super::BLOCK;

/// Stands for every zero that is hashed. It lies in memory that is never written, and fits a core's cache.
pub(super) static ZEROS: [u8; BLOCK] = [0; BLOCK];

static VALUES: &[u8] = include_bytes!("zeros.bin");

/// Parts of the same length, from the beginning of a file on.
struct Level {
    /// Of one part: a power of two.
    length: u64,
    parts: usize,
}

const LEVELS: [Level; 2] = [
    // Any hole of an image up to 4 GiB.
    Level { length: 1 << 20, parts: 4096 },
    // Most of the holes up to 256 GiB.
    Level { length: 64 << 20, parts: 4096 },
];

/// The value of one part of the tree, where the table has it.
pub(super) fn of_zeros(start: u64, length: u64) -> Option<ChainingValue> {
    let mut values = VALUES.as_chunks().0;
    for level in &LEVELS {
        let (of_level, rest) = values.split_at_checked(level.parts)?;
        if level.length == length {
            return of_level.get(usize::try_from(start / length).ok()?).copied();
        }
        values = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use blake3::Hasher;
    use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root};
    use proptest::prelude::*;
    use rayon::prelude::*;

    use super::*;

    /// With nothing but what blake3 itself offers.
    fn directly(start: u64, length: u64) -> ChainingValue {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        for _ in 0..length / BLOCK as u64 {
            hasher.update(&ZEROS);
        }
        hasher.finalize_non_root()
    }

    #[test]
    #[ignore = "hashes 260 GiB of zeros; this is how zeros.bin is made and compared as a whole"]
    fn every_value_is_that_of_zeros() {
        let parts: Vec<(u64, u64)> = LEVELS
            .iter()
            .flat_map(|level| (0..level.parts as u64).map(|part| (part * level.length, level.length)))
            .collect();
        let values: Vec<u8> = parts.par_iter().flat_map_iter(|(start, length)| directly(*start, *length)).collect();
        let update = std::env::var_os("UPDATE_ZEROS").is_some();
        if update {
            fs_err::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sparse_hash/zeros.bin"), &values).unwrap();
        }
        assert!(
            update || values == VALUES,
            "zeros.bin is out of date: this module's documentation says how to make it"
        );
    }

    #[test]
    fn the_table_has_all_levels_and_nothing_more() {
        let parts: usize = LEVELS.iter().map(|level| level.parts).sum();
        assert_eq!(VALUES.len(), parts * size_of::<ChainingValue>());
        for Level { length, parts } in LEVELS {
            let end = parts as u64 * length;
            assert!(of_zeros(end - length, length).is_some());
            assert_eq!(of_zeros(end, length), None);
            assert_eq!(of_zeros(0, length / 2), None);
        }
    }

    /// Of every level that has the parts of which the next one is made.
    #[test]
    fn long_parts_are_made_of_short_ones() {
        let mut compared = 0;
        for [short, long] in LEVELS.array_windows() {
            let reach = short.parts as u64 * short.length;
            for start in (0..reach).step_by(usize::try_from(long.length).unwrap()) {
                let mut values: Vec<_> = (start..start + long.length)
                    .step_by(usize::try_from(short.length).unwrap())
                    .map(|start| of_zeros(start, short.length).unwrap())
                    .collect();
                while values.len() > 1 {
                    values = values
                        .as_chunks()
                        .0
                        .iter()
                        .map(|[left, right]| merge_subtrees_non_root(left, right, Mode::Hash))
                        .collect();
                }
                assert_eq!(of_zeros(start, long.length), Some(values[0]), "at {start}");
                compared += 1;
            }
        }
        assert_eq!(compared, 64);
    }

    fn check(level: &Level, part: u64) {
        let start = part * level.length;
        assert_eq!(of_zeros(start, level.length), Some(directly(start, level.length)), "{} at {start}", level.length);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn short_parts_anywhere(part in 0..4096u64) {
            check(&LEVELS[0], part);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn long_parts_anywhere(part in 0..4096u64) {
            check(&LEVELS[1], part);
        }
    }
}

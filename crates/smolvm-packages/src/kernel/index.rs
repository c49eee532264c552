//! kmod's index format (`modules.dep.bin` and its kind): without these files its `modprobe` finds nothing.
//!
//! ```text
//! magic, version, root          three big-endian 32-bit numbers
//! nodes, children first:
//!   prefix, NUL                 if the pointer to the node has PREFIX set
//!   first, last, pointers       if it has CHILDREN set: one pointer for each byte from first to last
//!   count, (priority, value, NUL)*   if it has VALUES set
//! ```
//! A pointer is the offset of a node with flags in its upper bits; 0 is none.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;
const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;

/// Keys and their values, each value with a priority: the lower one is looked at first.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<Vec<u8>, Vec<(u32, String)>>,
}

impl Index {
    /// Adds a value. Keys that kmod cannot hold, with anything but ASCII, are passed over, as `depmod` does.
    pub(super) fn insert(&mut self, key: &str, value: &str, priority: u32) {
        if !key.is_ascii() || key.is_empty() {
            return;
        }
        let values = self.entries.entry(key.as_bytes().to_vec()).or_default();
        if values.iter().any(|(_, present)| present == value) {
            return;
        }
        let place = values.partition_point(|(present, _)| *present < priority);
        values.insert(place, (priority, value.to_owned()));
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut output = Vec::new();
        for number in [MAGIC, VERSION, 0] {
            output.extend(number.to_be_bytes());
        }
        let entries: Vec<Entry<'_>> =
            self.entries.iter().map(|(key, values)| (key.as_slice(), values.as_slice())).collect();
        let root = write_node(&entries, 0, &mut output);
        output[8..12].copy_from_slice(&root.to_be_bytes());
        output
    }
}

/// A key and its values.
type Entry<'index> = (&'index [u8], &'index [(u32, String)]);

/// Writes the node of all keys that begin with the same `depth` bytes, sorted, and returns the pointer to it.
fn write_node(entries: &[Entry<'_>], depth: usize, output: &mut Vec<u8>) -> u32 {
    let Some((first, _)) = entries.first() else {
        return u32::try_from(output.len()).unwrap_or_default();
    };
    let last = entries[entries.len() - 1].0;
    let common = first[depth..].iter().zip(&last[depth..]).take_while(|(one, other)| one == other).count();
    let prefix = &first[depth..depth + common];
    let depth = depth + common;
    let (own, below) = if first.len() == depth { (Some(entries[0].1), &entries[1..]) } else { (None, entries) };

    let mut children = Vec::new();
    for group in below.chunk_by(|one, other| one.0[depth] == other.0[depth]) {
        children.push((group[0].0[depth], write_node(group, depth + 1, output)));
    }

    let mut pointer = u32::try_from(output.len()).unwrap_or_default();
    if !prefix.is_empty() {
        pointer |= PREFIX;
        output.extend(prefix);
        output.push(0);
    }
    if let (Some((first, _)), Some((last, _))) = (children.first(), children.last()) {
        pointer |= CHILDREN;
        output.extend([*first, *last]);
        for byte in *first..=*last {
            let child = children.iter().find(|(at, _)| *at == byte).map_or(0, |(_, pointer)| *pointer);
            output.extend(child.to_be_bytes());
        }
    }
    if let Some(values) = own {
        pointer |= VALUES;
        output.extend(u32::try_from(values.len()).unwrap_or_default().to_be_bytes());
        for (priority, value) in values {
            output.extend(priority.to_be_bytes());
            output.extend(value.as_bytes());
            output.push(0);
        }
    }
    pointer
}

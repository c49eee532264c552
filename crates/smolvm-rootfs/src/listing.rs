//! The tree as text, one line per path, and the digest that follows from it.
//!
//! ```text
//! PATH TYPE MODE UID GID WHAT MTIME XATTRS CONTENT
//! /usr/bin/ping f 0755 0 0 90568 1675168300 security.capability=01000002… 6f1e…
//! /bin l 0777 0 0 usr/bin 1700000000 - -
//! /dev/null c 0666 0 0 1:3 1700000000 - -
//! /usr/bin/perl5.36.0 h /usr/bin/perl
//! ```
//!
//! `TYPE` is `d`, `f`, `l`, `c`, `b`, `p` (pipe) or `s` (socket). `WHAT` is a file's size, a link's target or a device's numbers. `XATTRS` are
//! `name=hex`, joined by commas, and `CONTENT` is the blake3 of a file's bytes. What a kind does not have is `-`. A hard link's second name has type `h`
//! and the first name. In names, everything but printable ASCII other than space and backslash is `\xNN`.
//! Lines are sorted by the bytes of the path.

use std::fmt::Write as _;
use std::io::{self, Write};

use rayon::prelude::*;

use crate::{Content, Inode, InodeId, Kind, RootTree};

/// Writes the listing.
pub fn write_listing(tree: &RootTree, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(listing(tree)?.as_bytes())
}

/// The blake3 of the listing, in hex: two trees have the same digest if, and only if, they are the same to a guest.
pub fn digest(tree: &RootTree) -> io::Result<String> {
    Ok(blake3::hash(listing(tree)?.as_bytes()).to_hex().to_string())
}

fn listing(tree: &RootTree) -> io::Result<String> {
    let hashes = content_hashes(tree)?;
    let mut text = String::new();
    let mut first_names = vec![None; tree.inodes.len()];
    for (path, id, inode) in tree.iter() {
        let path = format!("/{}", escaped(path));
        match &first_names[id.0 as usize] {
            Some(first) => writeln!(text, "{path} h {first}"),
            None => writeln!(text, "{path} {}", describe(inode, hashes[id.0 as usize].as_ref())),
        }
        .map_err(io::Error::other)?;
        first_names[id.0 as usize].get_or_insert(path);
    }
    Ok(text)
}

fn describe(inode: &Inode, content: Option<&blake3::Hash>) -> String {
    let (letter, what) = match &inode.kind {
        Kind::Directory => ('d', "-".to_owned()),
        Kind::File(content) => ('f', content.size().to_string()),
        Kind::Symlink(target) => ('l', escaped(target)),
        Kind::CharDevice { major, minor } => ('c', format!("{major}:{minor}")),
        Kind::BlockDevice { major, minor } => ('b', format!("{major}:{minor}")),
        Kind::Fifo => ('p', "-".to_owned()),
        Kind::Socket => ('s', "-".to_owned()),
    };
    let xattrs: Vec<String> =
        inode.xattrs.iter().map(|(name, value)| format!("{}={}", escaped(name), hex::encode(value))).collect();
    let xattrs = if xattrs.is_empty() { "-".to_owned() } else { xattrs.join(",") };
    let content = content.map_or_else(|| "-".to_owned(), |hash| hash.to_hex().to_string());
    let Inode { mode, uid, gid, mtime, .. } = inode;
    format!("{letter} {mode:04o} {uid} {gid} {what} {mtime} {xattrs} {content}")
}

/// By inode; reading and hashing is all the work there is, so that all cores share it.
fn content_hashes(tree: &RootTree) -> io::Result<Vec<Option<blake3::Hash>>> {
    let mut named = vec![false; tree.inodes.len()];
    for (_, InodeId(id), _) in tree.iter() {
        named[id as usize] = true;
    }
    let hash = |(inode, named): (&Inode, bool)| match &inode.kind {
        Kind::File(Content::Bytes(bytes)) if named => Ok(Some(blake3::hash(bytes))),
        Kind::File(content) if named => content.read().map(|bytes| Some(blake3::hash(&bytes))),
        _ => Ok(None),
    };
    tree.inodes.par_iter().zip(named).map(hash).collect()
}

fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            text.push_str("\\x");
            text.push_str(&hex::encode([byte]));
        }
    }
    text
}

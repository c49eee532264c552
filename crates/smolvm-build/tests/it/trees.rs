//! Trees of files as listings, so that two of them can be compared; and trees that mmdebstrap makes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use smolvm_build::Host;
use smolvm_manifest::Family;
use walkdir::WalkDir;

/// Whether a listing tells what is in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Digested,
    Ignored,
}

/// Every path of a tree, and what is there.
pub(crate) type Listing = BTreeMap<String, String>;

/// What each path of a tree is: type, mode, owners by name, link target, device, extended attributes, and the other names of a hard link.
pub(crate) fn listing(root: &Path, contents: Contents) -> Listing {
    let (users, groups) = (names(&root.join("etc/passwd")), names(&root.join("etc/group")));
    let mut by_inode: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for entry in WalkDir::new(root).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let metadata = entry.metadata().unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs_err::read_link(entry.path()).unwrap().display())
        } else if kind.is_char_device() || kind.is_block_device() {
            format!("device {}", metadata.rdev())
        } else if !kind.is_file() {
            "pipe or socket".to_owned()
        } else if contents == Contents::Digested {
            by_inode.entry(metadata.ino()).or_default().push(path.clone());
            let digest = blake3::hash(&fs_err::read(entry.path()).unwrap()).to_hex();
            format!("file {} {}", metadata.len(), &digest[..16])
        } else {
            by_inode.entry(metadata.ino()).or_default().push(path.clone());
            "file".to_owned()
        };
        let name = |names: &BTreeMap<u32, String>, id: u32| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        let mode = if kind.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
        let mut node = format!("{what} {mode:o} {}:{}", name(&users, metadata.uid()), name(&groups, metadata.gid()));
        if !kind.is_symlink() {
            node += &attributes(entry.path());
        }
        nodes.insert(path, node);
    }
    for names in by_inode.values_mut().filter(|names| names.len() > 1) {
        names.sort();
        for name in &*names {
            let _ = write!(nodes.get_mut(name).unwrap(), " named {}", names.join(", "));
        }
    }
    nodes
}

/// Names and values of a file's extended attributes.
fn attributes(path: &Path) -> String {
    let mut list = [0; 1024];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap_or(0);
    let mut text = String::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).unwrap();
        let mut value = [0; 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        let _ = write!(text, " {name} {:02x?}", &value[..length]);
    }
    text
}

/// Names by number, of an account file.
fn names(path: &Path) -> BTreeMap<u32, String> {
    let text = fs_err::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields[0].to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

/// How many paths were compared, and those that differ without being meant to.
pub(crate) fn differences(ours: &Listing, theirs: &Listing, is_meant: impl Fn(&str) -> bool) -> (usize, String) {
    let mut report = String::new();
    let mut compared = 0;
    for path in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        if is_meant(path) {
            continue;
        }
        compared += 1;
        let (ours, theirs) = (ours.get(path), theirs.get(path));
        if ours != theirs {
            let shown = |node: Option<&String>| node.map_or("(nothing)", String::as_str).to_owned();
            let _ = writeln!(report, "{path}\n  ours   {}\n  theirs {}", shown(ours), shown(theirs));
        }
    }
    (compared, report)
}

/// Whether a path fits a pattern: `*` stands for anything.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.starts_with(before) && path[before.len()..].contains(after),
    }
}

/// A minimal bookworm and these packages: in a folder, or in an archive if the name ends in `.tar`.
pub(crate) fn mmdebstrap(target: &Path, packages: &str) {
    let sources: String = Host::apt_sources(Family::Debian)
        .iter()
        .flat_map(|source| source.suites.iter().map(|suite| format!("deb {} {suite} main\n", source.address)))
        .collect();
    let mut child = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include={packages}"))
        .args(["bookworm"])
        .arg(target)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(sources.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

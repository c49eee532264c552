//! Two images that ought to have the same bytes, and what differs where they have not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::surroundings::Mount;
use crate::support::ran;

/// The files of an image.
pub(crate) struct Files {
    digest: String,
    kernel: PathBuf,
    initrd: PathBuf,
    rootfs: PathBuf,
}

impl Files {
    /// Those that the data of a build's envelope name; `folder` is where the build ran.
    pub(crate) fn of(built: &Value, folder: &Path) -> Self {
        let text = |name: &str| built[name].as_str().unwrap_or_else(|| panic!("no {name}: {built}"));
        let path = |name: &str| folder.join(text(name));
        let digest = text("rootfs_blake3").to_owned();
        Self { digest, kernel: path("kernel"), initrd: path("initrd"), rootfs: path("rootfs") }
    }

    /// What differs, by path; nothing where all bytes are the same.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn differences(&self, other: &Self) -> String {
        let mut report = String::new();
        for (name, one, two) in [("kernel", &self.kernel, &other.kernel), ("initrd", &self.initrd, &other.initrd)] {
            if let Some(place) = first_difference(one, two) {
                let _ = writeln!(report, "the {name}: {place}");
            }
        }
        if let Some(place) = first_difference(&self.rootfs, &other.rootfs) {
            let _ = writeln!(report, "the root file system: {place}\n{}", of_trees(&self.rootfs, &other.rootfs));
        } else if self.digest != other.digest {
            let _ =
                writeln!(report, "the same bytes are said to have the digests {} and {}", self.digest, other.digest);
        }
        report
    }
}

fn first_difference(one: &Path, two: &Path) -> Option<String> {
    let compared = ran(Command::new("cmp").args([one, two]));
    match compared.code {
        Some(0) => None,
        Some(1) => Some(format!("{}{}", compared.stdout.trim(), compared.stderr.trim())),
        _ => panic!("{compared}"),
    }
}

fn of_trees(one: &Path, two: &Path) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (one_at, two_at) = (folder.path().join("one"), folder.path().join("two"));
    let _mounts = (Mount::of_image(&one_at, one), Mount::of_image(&two_at, two));
    let (one, two) = (listing(&one_at), listing(&two_at));
    let mut report = String::new();
    for path in one.keys().chain(two.keys()).collect::<BTreeSet<_>>() {
        let shown = |listing: &BTreeMap<String, String>| listing.get(path).cloned().unwrap_or("nothing".to_owned());
        if one.get(path) != two.get(path) {
            let _ = writeln!(report, "  /{path}\n    one {}\n    two {}", shown(&one), shown(&two));
        }
    }
    if report.is_empty() {
        return "  the trees are the same: it is the file system around them that differs".to_owned();
    }
    report
}

/// By path: type, mode, owners, size, time, names, target and content.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let find = |words: &[&str]| ran(Command::new("find").args(words).current_dir(root)).expect_code(0).stdout;
    let nodes = find(&[".", "-printf", r"%P\t%y %m %U:%G %s bytes, time %T@, %n names %l\n"]);
    let mut listing: BTreeMap<String, String> =
        nodes.lines().filter_map(|line| line.split_once('\t')).map(|(path, node)| (path.into(), node.into())).collect();
    for line in find(&[".", "-type", "f", "-exec", "sha256sum", "{}", "+"]).lines() {
        let (digest, path) = line.split_once("  ./").expect("a digest and a path");
        if let Some(node) = listing.get_mut(path) {
            let _ = write!(node, " sha256 {}", &digest[..16]);
        }
    }
    listing
}

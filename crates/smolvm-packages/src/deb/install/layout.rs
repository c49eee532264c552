//! What must be there before the first package: the links of a merged `/usr`.

use std::collections::{BTreeMap, BTreeSet};

use smolvm_sandbox::PlaceOp;

use crate::deb::unpack::{EntryKind, UnpackedPackage};

/// Top-level folders that are links into `/usr` in every release that smolvm installs.
const ALWAYS: [&str; 3] = ["bin", "lib", "sbin"];

/// Those that are so where a package has files in them.
const WHERE_USED: [&str; 4] = ["lib32", "lib64", "libo32", "libx32"];

/// The folders of `/usr` and the links to them, so that `bin/sh` of one package and `usr/bin/sh` of another are one file.
///
/// Newer releases bring the links in a package; these are the same, and only have to be there earlier.
pub(super) fn first_folders(packages: &[UnpackedPackage], mtime: i64) -> Vec<PlaceOp> {
    let mut links: BTreeMap<&str, String> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for entry in packages.iter().flat_map(|package| &package.entries) {
        let top = entry.path.split('/').next().unwrap_or_default();
        let Some(name) = ALWAYS.iter().chain(&WHERE_USED).find(|name| **name == top) else { continue };
        match &entry.kind {
            EntryKind::Symlink { target } if entry.path == *name => {
                links.insert(name, target.clone());
            }
            _ => {
                used.insert(*name);
            }
        }
    }
    for name in ALWAYS.into_iter().chain(used) {
        links.entry(name).or_insert_with(|| format!("usr/{name}"));
    }
    let (mode, uid, gid) = (0o755, 0, 0);
    let folder = |path: String| PlaceOp::Directory { path, mode, uid, gid, mtime };
    let mut ops = vec![folder("usr".to_owned())];
    for name in links.keys() {
        ops.push(folder(format!("usr/{name}")));
    }
    for (name, target) in links {
        ops.push(PlaceOp::Symlink { path: name.to_owned(), target, uid, gid, mtime });
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::unpack::{UnpackLimits, unpack_from};
    use crate::test_deb::TestDeb;

    fn links(debs: &[TestDeb]) -> Vec<(String, String)> {
        let scratch = tempfile::tempdir().unwrap();
        let unpack = |deb: &TestDeb| {
            unpack_from(deb.build().unwrap().as_slice(), scratch.path(), &UnpackLimits::default()).unwrap()
        };
        let packages: Vec<_> = debs.iter().map(unpack).collect();
        let ops = first_folders(&packages, 0).into_iter();
        ops.filter_map(|op| match op {
            PlaceOp::Symlink { path, target, .. } => Some((path, target)),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn links_are_made_where_packages_need_them() {
        let expected = [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];
        let expected = expected.map(|(path, target)| (path.to_owned(), target.to_owned()));
        let old = TestDeb::new("libc6", "1").dir("./lib64/").symlink("./lib64/ld.so", "../lib/ld.so");
        assert_eq!(links(&[old]), expected);
        let new = TestDeb::new("base-files", "13").symlink("./bin", "usr/bin").symlink("./lib64", "usr/lib64");
        assert_eq!(links(&[new]), expected);
    }
}

//! What can only be judged when all of a package's entries are known.

use std::collections::HashMap;

use super::{Entry, EntryKind, UnpackProblem};

/// Refuses names that occur twice, hard links to what is no earlier file, and entries that lie below a file or below a
/// link that leads out of the package's tree.
pub(super) fn check(entries: &[Entry]) -> Result<(), UnpackProblem> {
    let mut seen: HashMap<&str, &EntryKind> = HashMap::with_capacity(entries.len());
    for entry in entries {
        if let EntryKind::HardLink { target } = &entry.kind {
            let is_file = |kind: &&EntryKind| matches!(kind, EntryKind::File { .. } | EntryKind::HardLink { .. });
            if !seen.get(target.as_str()).is_some_and(is_file) {
                let reason = format!("is a hard link to `{target}`, which is no earlier file of the package");
                return Err(UnpackProblem::refused(&entry.path, reason));
            }
        }
        let earlier = seen.insert(&entry.path, &entry.kind);
        // Folders listed twice do no harm, and some tools write them.
        if earlier.is_some_and(|kind| *kind != EntryKind::Directory || entry.kind != EntryKind::Directory) {
            return Err(UnpackProblem::refused(&entry.path, "occurs twice"));
        }
    }
    for entry in entries {
        for (end, _) in entry.path.match_indices('/') {
            let parent = &entry.path[..end];
            match seen.get(parent) {
                None | Some(EntryKind::Directory) => {}
                Some(EntryKind::Symlink { target }) if stays_inside(parent, target) => {}
                Some(EntryKind::Symlink { target }) => {
                    let reason = format!("lies below `{parent}`, a link of the same package that leads to `{target}`");
                    return Err(UnpackProblem::refused(&entry.path, reason));
                }
                Some(EntryKind::File { .. } | EntryKind::HardLink { .. }) => {
                    let reason = format!("lies below `{parent}`, which is a file of the same package");
                    return Err(UnpackProblem::refused(&entry.path, reason));
                }
            }
        }
    }
    Ok(())
}

/// Whether the link at `path` leads to a place in the same tree, by its text alone.
fn stays_inside(path: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return false;
    }
    let mut depth = path.matches('/').count();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(shallower) => depth = shallower,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::stays_inside;

    #[test]
    fn a_link_stays_inside_as_long_as_it_never_climbs_above_the_root() {
        assert!(stays_inside("bin", "usr/bin"));
        assert!(stays_inside("usr/lib/x", "../../lib/y"));
        assert!(!stays_inside("usr/lib/x", "../../../lib/y"));
        assert!(!stays_inside("bin", "a/../../usr"));
        assert!(!stays_inside("bin", "/usr/bin"));
    }
}

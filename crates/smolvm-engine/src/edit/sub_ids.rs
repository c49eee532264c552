//! Sub-ids, which rootless containers in the guest need: `/etc/subuid` and `/etc/subgid`, as useradd of shadow-utils fills them.
//!
//! Format: subuid(5). Numbers: `SUB_UID_MIN` and `SUB_UID_COUNT` of login.defs(5).

use smolvm_rootfs::RootTree;

use super::AccountError;

const FIRST: u32 = 100_000;
const COUNT: u32 = 65_536;

/// Gives a new user a range of each, where the image has such files: without them, nothing in it would read one.
pub(super) fn grant(tree: &mut RootTree, user: &str, epoch: i64) -> Result<(), AccountError> {
    for path in ["etc/subuid", "etc/subgid"] {
        if tree.get(path).is_none() {
            continue;
        }
        let text = tree.read(path).map_err(|error| AccountError::Read { path, error })?;
        let text = with_range(&String::from_utf8_lossy(&text), user);
        tree.write_file(path, text.into_bytes(), 0o644, 0, 0, epoch)?;
    }
    Ok(())
}

/// The file with one line more, whose range begins behind all others.
fn with_range(text: &str, user: &str) -> String {
    let end = |line: &str| {
        let mut numbers = line.split(':').skip(1).map(|field| field.parse::<u32>().ok());
        numbers.next()??.checked_add(numbers.next()??)
    };
    let start = text.lines().filter_map(end).max().unwrap_or(FIRST).max(FIRST);
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{newline}{user}:{start}:{COUNT}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_behind_all_others() {
        let table = [
            ("", "dev:100000:65536\n"),
            ("ops:100000:65536\n", "ops:100000:65536\ndev:165536:65536\n"),
            ("ops:500000:1000", "ops:500000:1000\ndev:501000:65536\n"),
            ("root:1:10\nnot a line\n", "root:1:10\nnot a line\ndev:100000:65536\n"),
        ];
        for (text, expected) in table {
            assert_eq!(with_range(text, "dev"), expected, "{text}");
        }
    }
}

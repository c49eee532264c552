//! `statoverride`: owners and modes that the administrator, or a script, set for files that packages bring.

use std::collections::HashMap;

use super::accounts::Accounts;

/// By path, relative to the root.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    by_path: HashMap<String, Override>,
}

/// What a file gets instead of what its package says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

impl Overrides {
    /// Reads the file: one line `user group mode path` each. A line whose user is unknown has no effect.
    pub(super) fn parse(text: &str, accounts: &Accounts) -> Self {
        let by_path = text.lines().filter_map(|line| {
            let mut fields = line.splitn(4, ' ');
            let (user, group, mode, path) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let uid = number(user, |name| accounts.user(name))?;
            let gid = number(group, |name| accounts.group(name))?;
            let mode = u32::from_str_radix(mode, 8).ok()? & 0o7777;
            Some((path.trim_start_matches('/').to_owned(), Override { uid, gid, mode }))
        });
        Self { by_path: by_path.collect() }
    }

    pub(super) fn get(&self, path: &str) -> Option<&Override> {
        self.by_path.get(path)
    }
}

/// `#12` is the number 12, all else a name.
fn number(text: &str, find: impl Fn(&str) -> Option<u32>) -> Option<u32> {
    match text.strip_prefix('#') {
        Some(digits) => digits.parse().ok(),
        None => find(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        let accounts = Accounts::parse("root:x:0:0::/:/bin/sh\n", "root:x:0:\ncrontab:x:101:\n");
        let text = "root crontab 2755 /usr/bin/crontab\n#5 #6 640 /a b\nnobody root 4755 /c\n";
        let overrides = Overrides::parse(text, &accounts);
        assert_eq!(overrides.get("usr/bin/crontab"), Some(&Override { uid: 0, gid: 101, mode: 0o2755 }));
        assert_eq!(overrides.get("a b"), Some(&Override { uid: 5, gid: 6, mode: 0o640 }));
        assert_eq!(overrides.get("c"), None);
    }
}

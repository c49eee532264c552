//! The image's users and groups.

use std::collections::HashMap;

/// Numbers by name.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group`.
    pub(super) fn parse(passwd: &str, group: &str) -> Self {
        Self { users: third_field(passwd), groups: third_field(group) }
    }

    /// A user's number.
    pub(crate) fn user(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    /// A group's number.
    pub(crate) fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }
}

/// Of several lines with one name the first counts, as for the C library.
fn third_field(text: &str) -> HashMap<String, u32> {
    let mut ids = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            ids.entry(name.to_owned()).or_insert(id);
        }
    }
    ids
}

//! Packages that one layer of packages has beyond another.

use std::collections::BTreeSet;

use super::{Fields, LOCKED, LayerInputs, REQUESTED};

impl LayerInputs {
    /// The packages that `wanted` has beyond these, where both are inputs of a layer of packages and all that these have is the same in
    /// `wanted`; `None` where they are not, or where nothing is added.
    ///
    /// Which packages were asked for by name, and the indexes in which they were found, decide the lock and by it the key, and do not
    /// reach the tree by another way: they may differ.
    pub fn added_packages<'a>(&self, wanted: &'a Self) -> Option<BTreeSet<&'a str>> {
        let same = self.0.iter().filter(|(name, fields)| !is_free(name, fields));
        let is_there = |(name, fields): (&String, &Fields)| wanted.0.get(name) == Some(fields);
        if !same.clone().all(is_there) {
            return None;
        }
        let mut added = BTreeSet::new();
        for (name, fields) in wanted.0.iter().filter(|(name, fields)| !is_free(name, fields)) {
            if !self.0.contains_key(name) {
                added.insert(locked_package(name, fields)?);
            }
        }
        (!added.is_empty()).then_some(added)
    }

    /// How many packages are locked among these.
    pub fn locked_packages(&self) -> usize {
        self.0.iter().filter(|(name, fields)| locked_package(name, fields).is_some()).count()
    }
}

/// Whether an input decides the tree of its layer by nothing but the packages that are locked.
fn is_free(name: &str, fields: &Fields) -> bool {
    group(name, REQUESTED).is_some() || group(name, LOCKED).is_some() && fields.contains_key("suite")
}

fn locked_package<'a>(name: &'a str, fields: &Fields) -> Option<&'a str> {
    group(name, LOCKED).filter(|_| fields.contains_key("layer") && fields.contains_key("sha256"))
}

fn group<'a>(name: &'a str, group: &str) -> Option<&'a str> {
    name.strip_prefix(group)?.strip_prefix(": ")
}

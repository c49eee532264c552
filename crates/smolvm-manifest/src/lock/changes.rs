//! What differs between two locks.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use super::{Lock, LockedKernel, LockedPackage};

/// One thing that differs between two locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockChange {
    /// A package, a suite, `kernel` or `base image`.
    pub subject: String,
    /// Its version, date or digest in the older one; none where that does not have it.
    pub old: Option<String>,
    /// In the newer one.
    pub new: Option<String>,
}

impl fmt::Display for LockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => write!(f, "{subject} {old} -> {new}"),
            (None, Some(new)) => write!(f, "+ {subject} {new}"),
            (Some(old), None) => write!(f, "- {subject} {old}"),
            (None, None) => f.write_str(subject),
        }
    }
}

impl Lock {
    /// What a newer lock says otherwise: suites, then packages, then the kernel, then the base image.
    pub fn changes_to(&self, newer: &Self) -> Vec<LockChange> {
        let mut changes = differences(self.suites(), newer.suites());
        changes.extend(differences(versions(&self.packages), versions(&newer.packages)));
        let kernel = |lock: &Self| BTreeMap::from([("kernel".to_owned(), described(&lock.kernel))]);
        changes.extend(differences(kernel(self), kernel(newer)));
        changes.extend(differences(self.image(), newer.image()));
        changes
    }

    fn suites(&self) -> BTreeMap<String, Value> {
        let suite = |index: &super::LockedIndex| {
            let date = OffsetDateTime::from_unix_timestamp(index.date)
                .map_or_else(|_| index.date.to_string(), |date| date.date().to_string());
            (index.suite.clone(), Value { shown: date, digest: index.sha256.clone() })
        };
        self.indexes.iter().map(suite).collect()
    }

    fn image(&self) -> BTreeMap<String, Value> {
        let image = |image: &super::LockedImage| {
            let shown = format!("{} {}", image.reference, short(image.digest.trim_start_matches("sha256:")));
            ("base image".to_owned(), Value { shown, digest: image.digest.clone() })
        };
        self.base_image.iter().map(image).collect()
    }
}

/// What is compared, and how it is shown.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    shown: String,
    digest: String,
}

fn versions(packages: &[LockedPackage]) -> BTreeMap<String, Value> {
    let version = |package: &LockedPackage| Value { shown: package.version.clone(), digest: package.sha256.clone() };
    packages.iter().map(|package| (package.name.clone(), version(package))).collect()
}

fn described(kernel: &LockedKernel) -> Value {
    let source = kernel.source();
    match kernel {
        LockedKernel::Distro(kernel) | LockedKernel::Debian(kernel) => {
            let all = || kernel.packages.iter().chain([&kernel.busybox]);
            let names: Vec<String> = all().map(|package| format!("{} {}", package.name, package.version)).collect();
            let digests: Vec<&str> = all().map(|package| &*package.sha256).collect();
            Value { shown: format!("{source}: {}", names.join(", ")), digest: digests.join(" ") }
        }
        LockedKernel::Smolvm(file) | LockedKernel::Url(file) | LockedKernel::Path(file) => {
            Value { shown: format!("{source}: {}", short(&file.sha256)), digest: file.sha256.clone() }
        }
    }
}

/// The beginning of a digest.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn differences(mut old: BTreeMap<String, Value>, new: BTreeMap<String, Value>) -> Vec<LockChange> {
    let mut changes = Vec::new();
    for (subject, new) in new {
        let old = old.remove(&subject);
        if old.as_ref() == Some(&new) {
            continue;
        }
        // The same words for other bytes: the digest tells them apart.
        let alike = old.as_ref().is_some_and(|old| old.shown == new.shown);
        let show = |value: Value| {
            if alike { format!("{} ({})", value.shown, short(&value.digest)) } else { value.shown }
        };
        changes.push(LockChange { subject, old: old.map(show), new: Some(show(new)) });
    }
    changes.extend(old.into_iter().map(|(subject, old)| LockChange { subject, old: Some(old.shown), new: None }));
    changes.sort_by(|left, right| left.subject.cmp(&right.subject));
    changes
}

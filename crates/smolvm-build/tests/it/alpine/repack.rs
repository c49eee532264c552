//! The packages that the mini root file system was made of, put together again from what apk left of them.

use super::apk::{Apk, Entry, Kind, written};
use super::installed::{Installed, installed};
use super::minirootfs::{Minirootfs, read_all};

/// All of them. Files are checked against the checksums that apk noted.
pub(super) fn packages(minirootfs: &Minirootfs) -> Vec<Apk> {
    installed(minirootfs.text("lib/apk/db/installed")).iter().map(|package| repack(package, minirootfs)).collect()
}

fn repack(package: &Installed, minirootfs: &Minirootfs) -> Apk {
    let mut apk = Apk {
        fields: package.fields.clone(),
        triggers: triggers(&package.checksum, minirootfs.text("lib/apk/db/triggers")),
        ..Apk::default()
    };
    let mut scripts = tar::Archive::new(minirootfs.content("lib/apk/db/scripts.tar"));
    for mut script in scripts.entries().unwrap().map(Result::unwrap) {
        let path = script.path().unwrap().to_str().unwrap().to_owned();
        // `busybox-1.36.1-r29.Q1yY8l…=.post-install`
        if let Some((_, name)) = path.split_once(&package.checksum) {
            apk.scripts.insert(name.to_owned(), read_all(&mut script));
        }
    }
    for (path, owned) in &package.files {
        let mut entry = as_packaged(path, minirootfs).unwrap_or_else(|| Entry {
            kind: Kind::Folder,
            mode: 0,
            owner: (0, 0),
            time: package.fields[&'t'].parse().unwrap(),
        });
        (entry.mode, entry.owner) = (owned.mode, owned.owner);
        let checksum = entry.checksum().map(|checksum| written(&checksum));
        assert_eq!(checksum, owned.checksum, "{path} is not what apk installed");
        apk.entries.insert(path.clone(), entry);
    }
    apk
}

/// What a package put there. `None` for what lies below `dev`: the archive leaves it out.
fn as_packaged(path: &str, minirootfs: &Minirootfs) -> Option<Entry> {
    let mut entry = minirootfs.entry(path)?.clone();
    if path == "etc/shadow" {
        // The makers of the archive locked the account; the package has it open.
        let text = minirootfs.text(path).replacen("root:*:", "root::", 1);
        entry.kind = Kind::File(text.into_bytes());
    }
    Some(entry)
}

/// The folders that a package watches, of a file with a line for each package that watches any.
fn triggers(checksum: &str, text: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(checksum)).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

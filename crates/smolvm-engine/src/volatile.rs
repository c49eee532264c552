//! What a build leaves behind that says when, where or by whom it was done, and what becomes of it.
//!
//! This list is the place of record; `docs/reproducibility.md` shows it to users. A path that the Smolfile's `files` put there is
//! never touched.

use std::collections::BTreeSet;

use smolvm_rootfs::{Inode, Kind, RootTree};

/// What happens to a path that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is taken out, with all below it.
    Remove,
    /// Files are taken out; a folder of that name stays, because a package brings it.
    RemoveFiles,
    /// The file stays, without content.
    Empty,
}

/// One line of the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Path below the root; `*` stands for any characters within one name.
    pub(crate) path: &'static str,
    pub(crate) action: Action,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by people, and by the test that keeps docs/reproducibility.md")
    )]
    pub(crate) reason: &'static str,
}

const fn remove(path: &'static str, reason: &'static str) -> Rule {
    Rule { path, action: Action::Remove, reason }
}

const fn remove_files(path: &'static str, reason: &'static str) -> Rule {
    Rule { path, action: Action::RemoveFiles, reason }
}

const fn empty(path: &'static str, reason: &'static str) -> Rule {
    Rule { path, action: Action::Empty, reason }
}

/// The list, sorted by path.
pub(crate) const RULES: &[Rule] = &[
    remove("dev/*", "the kernel fills /dev at boot; the few static nodes are put back as data"),
    remove("etc/*-", "backup of an account file, as it was before the last package changed it"),
    remove("etc/.pwd.lock", "lock file of shadow-utils"),
    empty("etc/machine-id", "must be unique to a guest: it is made at first boot"),
    remove("etc/resolv.conf", "names the builder's name servers; the guest's init writes it at boot"),
    remove("etc/ssh/ssh_host_*_key", "a host key in an image would be shared by all its guests: made at first boot"),
    remove("etc/ssh/ssh_host_*_key.pub", "belongs to a host key"),
    remove("proc/*", "mount point"),
    remove("root/.bash_history", "what a run step typed"),
    remove("run/*", "a file system in memory at boot"),
    remove("sys/*", "mount point"),
    remove("tmp/*", "emptied at every boot"),
    remove("var/cache/apt/*.bin", "index of the builder's downloads"),
    remove("var/cache/apt/archives/*.deb", "downloaded packages"),
    remove("var/cache/apt/archives/lock", "lock file"),
    remove("var/cache/apt/archives/partial/*", "downloads that did not finish"),
    remove("var/cache/debconf/*-old", "backup of debconf's database, as it was before the last package"),
    remove("var/cache/fontconfig/*", "names and times of the builder's folders; made again when needed"),
    remove("var/cache/ldconfig/aux-cache", "inode numbers and times of the build folder"),
    remove("var/cache/man/*", "index with times of the build; man-db makes it again"),
    remove_files("var/lib/apt/lists/*", "index of the day of the build; `apt-get update` fetches it"),
    remove("var/lib/dbus/machine-id", "must be unique to a guest: made at first boot"),
    remove("var/lib/dpkg/*-old", "backup of dpkg's database, as it was before the last package"),
    remove("var/lib/dpkg/lock", "lock file"),
    remove("var/lib/dpkg/lock-frontend", "lock file"),
    remove("var/lib/dpkg/triggers/Lock", "lock file"),
    remove("var/lib/dpkg/updates/*", "journal of dpkg's database, already in it"),
    remove("var/lib/systemd/credential.secret", "a secret must not be shared by guests"),
    remove("var/lib/systemd/random-seed", "entropy must not be shared by guests"),
    remove("var/lib/urandom/random-seed", "entropy must not be shared by guests"),
    remove("var/log/alternatives.log", "times of the build"),
    remove("var/log/apt/*", "times of the build"),
    remove("var/log/bootstrap.log", "times of the build"),
    empty("var/log/btmp", "log of logins"),
    remove("var/log/dpkg.log", "times of the build"),
    empty("var/log/faillog", "log of logins"),
    remove("var/log/fontconfig.log", "times of the build"),
    remove("var/log/journal/*", "log of the builder"),
    empty("var/log/lastlog", "log of logins"),
    empty("var/log/tallylog", "log of logins"),
    empty("var/log/wtmp", "log of logins"),
    remove("var/tmp/*", "temporary files of the build"),
];

/// Applies the list to a tree; `kept` are paths (as in the tree) that the Smolfile put there.
pub(crate) fn remove_traces(tree: &mut RootTree, kept: &BTreeSet<String>) {
    let holds_kept = |path: &str| {
        kept.iter().any(|kept| kept == path || kept.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    };
    let matched: Vec<(String, Action)> = tree
        .iter()
        .filter_map(|(path, _, _)| Some((path.to_owned(), RULES.iter().find(|rule| matches(rule.path, path))?.action)))
        .filter(|(path, _)| !holds_kept(path))
        .collect();
    for (path, action) in matched {
        match action {
            Action::RemoveFiles if tree.get(&path).is_some_and(Inode::is_directory) => {}
            Action::Remove | Action::RemoveFiles => drop(tree.remove(&path)),
            Action::Empty => {
                if let Some(inode) = tree.get_mut(&path)
                    && matches!(inode.kind, Kind::File(_))
                {
                    inode.kind = Kind::File(smolvm_rootfs::Content::Bytes([].into()));
                }
            }
        }
    }
}

/// Whether a path is one that the pattern means: equal name by name, where `*` stands for any characters of a name.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), names.next()) {
            (None, None) => return true,
            (Some(wanted), Some(name)) if name_matches(wanted, name) => {}
            _ => return false,
        }
    }
}

fn name_matches(wanted: &str, name: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == name,
        Some((before, after)) => {
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_each_line_has_a_reason() {
        assert!(RULES.is_sorted_by_key(|rule| rule.path));
        assert!(RULES.iter().all(|rule| rule.reason.len() > 5));
    }

    /// The page that shows the list to users.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reproducibility.md");
    const MARK: &str = "cargo test -p smolvm-engine documented -->\n";

    #[test]
    fn the_list_is_documented() {
        let page = fs_err::read_to_string(PAGE).unwrap();
        let head = &page[..page.find(MARK).expect("the page has its mark") + MARK.len()];
        let rows = RULES.iter().map(|rule| {
            let action = match rule.action {
                Action::Remove => "removed",
                Action::RemoveFiles => "files removed",
                Action::Empty => "emptied",
            };
            format!("| `/{}` | {action} | {} |\n", rule.path, rule.reason)
        });
        let wanted = format!("{head}\n| path | | because |\n|---|---|---|\n{}", rows.collect::<String>());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs_err::write(PAGE, &wanted).unwrap();
        }
        assert!(
            page == wanted,
            "docs/reproducibility.md is out of date: UPDATE_DOCS=1 cargo test -p smolvm-engine documented"
        );
    }

    /// What a script leaves in a folder that is something else while it runs, only this test shows; the others, `same_bytes.rs` of the command's tests too.
    #[test]
    fn every_rule_is_applied_but_to_what_the_smolfile_put_there() {
        let kept = BTreeSet::from(["var/log/apt/kept".to_owned(), "var/lib/dpkg/a/kept-old".to_owned()]);
        let mut tree = RootTree::new(0);
        let paths = RULES.iter().map(|rule| rule.path.replace('*', "trace")).chain(kept.iter().cloned());
        for path in paths.chain(["var/lib/dpkg/status".to_owned()]) {
            tree.create_parents(&path, 0).unwrap();
            tree.write_file(&path, b"trace".as_slice(), 0o600, 0, 0, 0).unwrap();
        }
        for folder in ["var/lib/apt/lists/folder", "var/log/apt/folder"] {
            tree.insert(folder, Inode::new(Kind::Directory, 0o755, 0, 0, 0)).unwrap();
        }
        remove_traces(&mut tree, &kept);
        for rule in RULES {
            let left = tree.get(&rule.path.replace('*', "trace"));
            match (rule.action, left.map(|inode| &inode.kind)) {
                (Action::Empty, Some(Kind::File(content))) => assert_eq!(content.size(), 0, "{}", rule.path),
                (Action::Remove | Action::RemoveFiles, None) => {}
                (_, left) => panic!("{}: {left:?}", rule.path),
            }
        }
        let stays = ["var/log/apt/kept", "var/lib/dpkg/a/kept-old", "var/lib/dpkg/status", "var/lib/apt/lists/folder"];
        assert!(stays.iter().all(|path| tree.get(path).is_some()));
        assert!(tree.get("var/log/apt/folder").is_none());
    }

    #[test]
    fn a_star_stays_within_one_name() {
        for (pattern, path, expected) in [
            ("etc/*-", "etc/passwd-", true),
            ("etc/*-", "etc/passwd", false),
            ("etc/*-", "etc/cron.d/old-", false),
            ("var/log/apt/*", "var/log/apt/history.log", true),
            ("var/log/apt/*", "var/log/apt", false),
            ("etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_ed25519_key", true),
            ("etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host__key", true),
            ("etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_key", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} against {path}");
        }
    }
}

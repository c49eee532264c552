//! The same set of packages, installed by us and by mmdebstrap, compared file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use smolvm_build::Host;
use smolvm_manifest::Family;
use walkdir::WalkDir;

use crate::support::{Mounted, Project, debian_host, has, is_root};

const PACKAGES: &str = "curl,bash,ca-certificates,python3,iputils-ping,sudo";

/// Where the two trees may differ, and why. A pattern ends in `*` for all that begins so.
const DIFFERENCES: &[(&str, &str)] = &[
    ("init", "ours: the guest's init"),
    ("lost+found", "ours: made with the file system"),
    ("lib/modules*", "ours: modules of the kernel"),
    ("usr/lib/modules*", "ours: modules of the kernel"),
    ("etc/smolvm*", "ours: the guest's own settings"),
    ("etc/ssh/sshd_config.d/*", "ours: how the guest is reached"),
    ("etc/profile.d/*smolvm*", "ours: the guest's environment"),
    ("etc/environment", "ours: the guest's environment"),
    (
        "etc/fstab",
        "mmdebstrap writes one that says that it is not configured; our root file system is mounted by boot arguments",
    ),
    ("usr/bin/gunzip", "one file with uncompress, as the package's archive has it; mmdebstrap's tree has two"),
    ("usr/bin/uncompress", "one file with gunzip, as the package's archive has it; mmdebstrap's tree has two"),
    ("etc/hosts", "ours: names the guest"),
    ("etc/hostname", "ours names the guest; mmdebstrap copies the builder's"),
    ("etc/resolv.conf", "mmdebstrap copies the builder's; ours is written at boot"),
    ("etc/apt/sources.list*", "ours names the public archives, mmdebstrap the builder's mirror"),
    ("etc/apt/apt.conf.d/99mmdebstrap", "settings that mmdebstrap leaves for its own apt"),
    ("etc/ssh/ssh_host_*", "host keys: ours are made at first boot"),
    ("dev/*", "static nodes: both have them, mmdebstrap some more for chroots"),
    ("var/log/*", "logs of the build: see the list of what is removed"),
    ("var/cache/*", "caches of the build: see the list of what is removed"),
    ("var/lib/apt/*", "apt's memory of what it installed; dpkg installed ours"),
    ("var/lib/dpkg/*", "dpkg's backups and locks are removed from ours"),
    ("etc/*-", "backups of account files"),
    ("etc/.pwd.lock", "lock file"),
    ("run*", "in memory at boot"),
    ("tmp*", "emptied at boot"),
    ("root/.ssh*", "ours: keys that may log in"),
    ("var/lib/systemd/deb-systemd-helper*", "notes of what was enabled, in the order of configuring"),
];

#[test]
fn the_tree_is_the_one_that_mmdebstrap_makes() {
    let program = |name: &str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has("root, mmdebstrap and an apt mirror of Debian", is_root() && program("mmdebstrap") && debian_host()) {
        return;
    }
    let packages = PACKAGES.replace(',', ", ");
    let project = Project::new(&format!("base: debian:bookworm\nsize: 2GiB\nkernel: distro\npackages: [{packages}]\n"));
    let image = project.build().unwrap();
    let theirs = project.path().join("mmdebstrap");
    mmdebstrap(&theirs);

    let mounted = Mounted::new(&image.rootfs);
    let (ours, theirs) = (listing(mounted.path()), listing(&theirs));
    let mut report = String::new();
    let mut compared = 0;
    for path in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        if DIFFERENCES.iter().any(|(pattern, _)| is_meant(pattern, path)) {
            continue;
        }
        compared += 1;
        let (ours, theirs) = (ours.get(path), theirs.get(path));
        if ours != theirs {
            let _ = writeln!(report, "{path}\n  ours   {}\n  theirs {}", shown(ours), shown(theirs));
        }
    }
    assert!(report.is_empty(), "{report}");
    assert!(compared > 8_000, "only {compared} files were compared");
    let with_capability = ours.values().filter(|node| node.contains("capability")).count();
    assert!(with_capability > 0, "ping has a capability");
}

fn shown(node: Option<&String>) -> &str {
    node.map_or("(nothing)", String::as_str)
}

fn is_meant(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.starts_with(before) && path[before.len()..].contains(after),
    }
}

fn mmdebstrap(folder: &Path) {
    let sources: String = Host::apt_sources(Family::Debian)
        .iter()
        .flat_map(|source| source.suites.iter().map(|suite| format!("deb {} {suite} main\n", source.address)))
        .collect();
    let mut child = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include=openssh-server,iproute2,{PACKAGES}"))
        .args(["bookworm"])
        .arg(folder)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), sources.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// What each path of a tree is: type, mode, owners by name, link target, device, capability, and the other names of a hard link.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let (users, groups) = (names(&root.join("etc/passwd")), names(&root.join("etc/group")));
    let mut by_inode: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for entry in WalkDir::new(root).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let metadata = entry.metadata().unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs_err::read_link(entry.path()).unwrap().display())
        } else if kind.is_char_device() || kind.is_block_device() {
            format!("device {}", metadata.rdev())
        } else {
            by_inode.entry(metadata.ino()).or_default().push(path.clone());
            "file".to_owned()
        };
        let name = |names: &BTreeMap<u32, String>, id: u32| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        let mode = if kind.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
        let mut node = format!("{what} {mode:o} {}:{}", name(&users, metadata.uid()), name(&groups, metadata.gid()));
        let mut value = [0; 64];
        if kind.is_file()
            && let Ok(length) = rustix::fs::lgetxattr(entry.path(), "security.capability", &mut value)
        {
            let _ = write!(node, " capability {:02x?}", &value[..length]);
        }
        nodes.insert(path, node);
    }
    for names in by_inode.values_mut().filter(|names| names.len() > 1) {
        names.sort();
        for name in &*names {
            let _ = write!(nodes.get_mut(name).unwrap(), " named {}", names.join(", "));
        }
    }
    nodes
}

/// Names by number, of an account file.
fn names(path: &Path) -> BTreeMap<u32, String> {
    let text = fs_err::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields[0].to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

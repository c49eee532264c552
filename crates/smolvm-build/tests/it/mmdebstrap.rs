//! The same set of packages, installed by us and by mmdebstrap, compared file by file.

use crate::support::{Mounted, Project, debian_host, has, is_root, programs_are_here};
use crate::trees::{Contents, differences, fits, listing, mmdebstrap};

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
    let here = is_root() && programs_are_here(&["mmdebstrap"]) && debian_host();
    if !has("root, mmdebstrap and an apt mirror of Debian", here) {
        return;
    }
    let packages = PACKAGES.replace(',', ", ");
    let project = Project::new(&format!("base: debian:bookworm\nsize: 2GiB\nkernel: distro\npackages: [{packages}]\n"));
    let image = project.build().unwrap();
    let theirs = project.path().join("mmdebstrap");
    mmdebstrap(&theirs, &format!("openssh-server,iproute2,{PACKAGES}"));

    let mounted = Mounted::new(&image.rootfs);
    let (ours, theirs) = (listing(mounted.path(), Contents::Ignored), listing(&theirs, Contents::Ignored));
    let (compared, report) =
        differences(&ours, &theirs, |path| DIFFERENCES.iter().any(|(pattern, _)| fits(pattern, path)));
    assert!(report.is_empty(), "{report}");
    assert!(compared > 8_000, "only {compared} files were compared");
    let with_capability = ours.values().filter(|node| node.contains("capability")).count();
    assert!(with_capability > 0, "ping has a capability");
}

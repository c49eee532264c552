//! The same Smolfile, built by both engines: compared file by file, and booted.

use std::os::unix::fs::{PermissionsExt, symlink};

use smolvm_build::{BuiltImage, Events};
use smolvm_vm::Machine;

use super::build_by_docker;
use super::debian::{DebianImage, debian_by_docker};
use crate::archive::report;
use crate::support::{Mounted, Project, machine, runtime};
use crate::trees::{Contents, differences, fits, listing};

const SMOLFILE: &str = r#"name: agreed
base: debian:bookworm
size: 1GiB
kernel: distro
hostname: both
packages: [curl, iputils-ping, sudo]
env: {EDITOR: vi, GREETING: "it's me"}
users:
  - {name: dev, uid: 1234, groups: [sudo], shell: /bin/bash, authorized_keys: [keys/dev.pub]}
  - {name: ops, home: /srv/ops}
files:
  - {source: conf, target: /opt/conf}
  - {source: tool, target: /usr/local/bin/tool, mode: "4750", owner: "root:dev"}
  - {target: /etc/motd, content: "hello\n"}
  - {target: "/opt/a name with spaces/$HOME", content: "text without an end of line", owner: "dev:dev"}
run:
  - |
    echo made > /opt/made && chmod 2640 /opt/made && chown dev:ops /opt/made
    ln /opt/made /opt/same && ln -s made /opt/link && mkfifo /opt/pipe
  - {command: 'printf %s "$V $PWD $(id -un) $HOME" > said', user: dev, workdir: /home/dev, env: {V: "it's 1"}}
"#;

/// Where the two trees differ: what it is, which paths, and why. `docs/engines.md` has the same rows.
const DIFFERENCES: &[(&str, &[&str], &str)] = &[
    (
        "package database",
        &["var/lib/dpkg/*", "var/lib/apt/*", "var/cache/apt/archives/partial"],
        "apt and dpkg write down what they did, and in which order; apt owns the folder that it downloads to",
    ),
    (
        "order of configuring",
        &["etc/shells"],
        "each package adds its own lines; the base was configured before the others",
    ),
    (
        "set by the base image",
        &["etc/apt/apt.conf.d/99mmdebstrap", "etc/fstab"],
        "whoever made the base put them there; Docker's own Debian images have `docker-*` files in their place",
    ),
    (
        "hard links of the base image",
        &["usr/bin/gunzip", "usr/bin/uncompress"],
        "one file with two names in the package, two files in the archive that the base was made from",
    ),
    ("Docker's own", &["etc/mtab"], "a link to /proc/mounts, which Docker puts into every container"),
];

#[test]
fn the_differences_are_those_of_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/engines.md");
    let documentation = fs_err::read_to_string(path).unwrap();
    for (category, patterns, why) in DIFFERENCES {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("`/{pattern}`")).collect();
        let row = format!("| {category} | {} | {why} |\n", patterns.join(", "));
        assert!(documentation.contains(&row), "docs/engines.md lacks the line\n{row}");
    }
}

#[test]
fn both_engines_make_the_same_of_a_smolfile() {
    let Some(docker) = debian_by_docker() else { return };
    let _base = DebianImage::import(&docker, "debian:bookworm", &[]);
    let project = Project::new(SMOLFILE).with("DOCKER_HOST", &docker);
    write_sources(&project);
    let ours = project.build().unwrap_or_else(|error| panic!("{}", report(&error)));
    let theirs = build_by_docker(&project, &Events::silent()).unwrap_or_else(|error| panic!("{}", report(&error)));
    assert_ne!(ours.key, theirs.key);

    let trees = [&ours, &theirs].map(|image| listing(Mounted::new(&image.rootfs).path(), Contents::Digested));
    let is_meant =
        |path: &str| DIFFERENCES.iter().any(|(_, patterns, _)| patterns.iter().any(|pattern| fits(pattern, path)));
    let (compared, report) = differences(&trees[0], &trees[1], is_meant);
    assert!(report.is_empty(), "{report}");
    assert!(compared > 7_000, "only {compared} paths were compared");
    for path in ["opt/conf/run", "usr/local/bin/tool", "opt/a name with spaces/$HOME", "opt/same", "opt/pipe", "init"] {
        assert!(trees[0].contains_key(path) && !is_meant(path), "{path} is compared");
    }
    assert!(!trees[0].contains_key("opt/conf/ignored"));

    runtime().block_on(async {
        assert_eq!(said_by_the_guest(&ours, &project).await, said_by_the_guest(&theirs, &project).await);
    });
}

fn write_sources(project: &Project) {
    let folder = project.path();
    for name in ["keys", "conf/empty"] {
        fs_err::create_dir_all(folder.join(name)).unwrap();
    }
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g me@host\n";
    fs_err::write(folder.join("keys/dev.pub"), key).unwrap();
    fs_err::write(folder.join("conf/run"), "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(folder.join("conf/run"), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("run", folder.join("conf/link")).unwrap();
    fs_err::write(folder.join("conf/ignored"), "canary").unwrap();
    fs_err::write(folder.join(".smolignore"), "conf/ign*\n").unwrap();
    fs_err::write(folder.join("tool"), [0, 159, 146, 150]).unwrap();
}

/// Boots an image, and asks it who and what it is.
async fn said_by_the_guest(image: &BuiltImage, project: &Project) -> String {
    let scratch = tempfile::tempdir_in(project.path()).unwrap();
    let guest = Machine::boot(&machine(image, scratch.path()), &|_| {}).await.unwrap();
    let script = "hostname; env | grep -e ^EDITOR -e ^GREETING; id dev; id ops; cat /home/dev/said; dpkg --audit; \
                  getcap /bin/ping; cat /etc/motd";
    let said = guest.command(Some(&["sh", "-c", script])).output().await.unwrap();
    guest.power_off(&|_| {}).await.unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.starts_with("both\n") && said.contains("it's 1 /home/dev dev /home/dev"), "{said}");
    said
}

//! Layers out of the cache, compared with what a clean build makes.

use std::path::Path;

use super::shared::{download_cache, home_of_this_run, host_has_debian_sources, needs};
use crate::support::{Ran, ran, smolvm};

/// Changes one input of a project that was built: the second build takes these layers out of the cache, and is what a clean build makes.
#[track_caller]
fn equals_its_clean_rebuild(name: &str, smolfile: &str, change: (&str, &str), reused: &[&str]) {
    tells_and_equals_its_clean_rebuild(name, smolfile, change, reused, "");
}

/// The same, and the second build says so of its packages.
#[track_caller]
fn tells_and_equals_its_clean_rebuild(
    name: &str,
    smolfile: &str,
    (from, to): (&str, &str),
    reused: &[&str],
    told: &str,
) {
    if !needs("an apt mirror of Debian", host_has_debian_sources()) {
        return;
    }
    let (_scratch, project) = crate::support::project(&format!("name: {name}\n{smolfile}"));
    std::fs::create_dir(project.join("conf")).expect("a folder");
    std::fs::write(project.join("conf/settings"), "one\n").expect("a file");
    // One store for all, so that one test's base is another one's, too.
    let store = home_of_this_run().join("layers");
    build(&project, &store, &[]).expect_code(0);
    let changed = smolfile.replace(from, to);
    assert_ne!(changed, smolfile, "nothing was changed");
    std::fs::write(project.join("Smolfile.yaml"), format!("name: {name}\n{changed}")).expect("a Smolfile");
    let again = build(&project, &store, &["--verify-hit"]).expect_code(0);
    assert!(again.stderr.contains("verified: a build without the cache gives the same bytes"), "{again}");
    let built = again.data();
    let layers = built["layers"].as_array().expect("layers");
    let cached: Vec<&str> =
        layers.iter().filter(|layer| layer["cached"] == true).filter_map(|layer| layer["name"].as_str()).collect();
    assert_eq!(cached, reused, "{again}");
    assert!(again.stderr.contains(told), "{again}");
}

fn build(project: &Path, store: &Path, words: &[&str]) -> Ran {
    let mut command = smolvm(project);
    command.env("SMOLVM_CACHE_DIR", download_cache()).args(["build", "--json", "--image-dir"]).arg(store);
    ran(command.args(words))
}

#[test]
fn users_with_groups_and_keys() {
    equals_its_clean_rebuild(
        "users",
        "base: debian:bookworm
users:
  - {name: dev, uid: 1000, groups: [sudo, video], shell: /bin/bash}
  - {name: build, home: /srv/build}
env: {LEVEL: one}
",
        ("LEVEL: one", "LEVEL: two"),
        &["base", "packages", "kernel"],
    );
}

#[test]
fn packages_whose_scripts_write_files() {
    equals_its_clean_rebuild(
        "scripts",
        "base: debian:bookworm
ssh: false
packages: [ca-certificates, python3-minimal, man-db, iputils-ping, sudo]
files: [{target: /etc/motd, content: one}]
",
        ("content: one", "content: two"),
        &["base", "packages", "kernel"],
    );
}

#[test]
fn packages_with_scripts_on_a_cached_base() {
    tells_and_equals_its_clean_rebuild(
        "packages",
        "base: debian:trixie
ssh: false
packages: [tree]
",
        ("[tree]", "[tree, vim-tiny, logrotate]"),
        &["base", "kernel"],
        "packages: all installed together again, since ",
    );
}

#[test]
fn a_program_added_to_cached_packages() {
    tells_and_equals_its_clean_rebuild(
        "program",
        "base: debian:trixie
ssh: false
packages: [iputils-ping, ca-certificates]
",
        ("[iputils-ping", "[tree, iputils-ping"),
        &["base", "kernel"],
        "packages: tree added to the cached layer",
    );
}

#[test]
fn a_program_added_to_cached_packages_with_libraries_that_ldconfig_is_told_of() {
    tells_and_equals_its_clean_rebuild(
        "libraries",
        "base: debian:bookworm
packages: [openssh-server, iproute2, curl, bash, ca-certificates, python3]
",
        ("python3]", "python3, jq]"),
        &["base", "kernel"],
        "added to the cached layer",
    );
}

#[test]
fn two_programs_and_their_libraries_added_to_a_base_alone() {
    tells_and_equals_its_clean_rebuild(
        "several",
        "base: debian:trixie
ssh: false
",
        ("ssh: false", "ssh: false\npackages: [jq, tree]"),
        &["base", "kernel"],
        "added to the cached layer",
    );
}

#[test]
fn local_files_with_owners_and_links() {
    equals_its_clean_rebuild(
        "files",
        r#"base: debian:trixie
ssh: false
users: [{name: dev, uid: 1000}]
files:
  - {source: conf, target: /srv/conf, owner: "dev:dev"}
  - {target: /usr/local/bin/hello, content: "echo one", mode: "4755"}
run:
  - {command: "cp -a /srv/conf /srv/copy && ln /srv/copy/settings /srv/linked && ln -s linked /srv/link", network: false}
hostname: first
"#,
        ("hostname: first", "hostname: second"),
        &["base", "packages", "kernel"],
    );
}

#[test]
fn steps_that_change_users_times_and_packages() {
    equals_its_clean_rebuild(
        "steps",
        r#"base: debian:bookworm
ssh: false
packages: [python3-minimal]
users: [{name: dev, uid: 1000, shell: /bin/bash}]
run:
  - {command: "useradd --system daemon-of-ours && touch -d 2001-01-01 /srv/old && touch /srv/new", network: false}
  - {command: "mkdir -p lib && echo 'x = {1, 2, 3}' > lib/x.py && python3 -m compileall -q --invalidation-mode checked-hash lib", workdir: /home/dev, user: dev, network: false}
  - {command: "dpkg --purge tzdata && rm -rf /usr/share/doc && setfattr --help > /dev/null 2>&1 || true", network: false}
env: {LEVEL: one}
"#,
        ("LEVEL: one", "LEVEL: two"),
        &["base", "packages", "users", "files", "run", "kernel"],
    );
}

#[test]
fn a_kernel_with_all_its_modules() {
    equals_its_clean_rebuild(
        "modules",
        "base: debian:trixie
ssh: false
kernel: {distro: {modules: all}}
size: 1GiB
",
        ("size: 1GiB", "size: 2GiB"),
        &["base", "packages", "kernel"],
    );
}

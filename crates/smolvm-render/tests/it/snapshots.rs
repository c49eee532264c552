use std::fmt::Write as _;

use smolvm_manifest::{Arch, Distro, LockedManifest, Repository, Tmp};
use smolvm_render::{Content, Recipe, render};

use crate::fixture::{full, identity, locked};

/// The Dockerfile, the init script, and all other identity files.
fn check(name: &str, locked: &LockedManifest) {
    let recipe = render(locked).unwrap();
    insta::assert_snapshot!(format!("{name}_dockerfile"), recipe.dockerfile);
    insta::assert_snapshot!(format!("{name}_init"), recipe.init);
    insta::assert_snapshot!(format!("{name}_identity"), listing(&recipe));
}

fn listing(recipe: &Recipe) -> String {
    let mut text = String::new();
    for file in identity(recipe).filter(|file| file.target != "/init") {
        let owner =
            file.owner.as_ref().map_or("root:root".to_owned(), |owner| format!("{}:{}", owner.user, owner.group));
        let parent = file.parent_mode.map(|mode| format!(" in {mode:04o}")).unwrap_or_default();
        let Content::Bytes(bytes) = &file.content else { panic!("{} is not made of bytes", file.target) };
        let content = String::from_utf8_lossy(bytes);
        writeln!(text, "=== {} {:04o} {owner}{parent}\n{content}", file.target, file.mode.unwrap()).unwrap();
    }
    text
}

#[test]
fn bookworm_with_a_base_alone() {
    check("bookworm", &locked(Distro::DebianBookworm));
}

#[test]
fn trixie_with_everything() {
    check("trixie_full", &full(Distro::DebianTrixie));
}

#[test]
fn ubuntu_on_arm_with_its_archive_replaced() {
    let mut locked = locked(Distro::Ubuntu2404);
    locked.manifest.arch = Arch::Arm64;
    locked.manifest.repositories = vec![Repository {
        name: "ubuntu".to_owned(),
        url: "http://mirror.example.org/ubuntu".to_owned(),
        suites: Vec::new(),
        components: vec!["main".to_owned()],
        signed_by: b"\x99binary".to_vec(),
    }];
    check("ubuntu", &locked);
}

#[test]
fn alpine_with_everything() {
    check("alpine_full", &full(Distro::Alpine320));
}

#[test]
fn without_ssh() {
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.ssh = None;
    locked.manifest.tmp = Tmp::Tmpfs(None);
    check("no_ssh", &locked);
}

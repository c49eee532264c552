use std::fmt::Write as _;

use smolvm_manifest::{Arch, Base, Distro, ImageTools, LockedImage, LockedManifest, PackageRequest, Repository, Tmp};
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
        key_file: None,
    }];
    check("ubuntu", &locked);
}

#[test]
fn alpine_with_everything() {
    check("alpine_full", &full(Distro::Alpine320));
}

/// A Docker image that sets everything which can get into smolvm's way.
#[test]
fn a_docker_image_with_a_user_and_a_path_of_its_own() {
    check("docker_image", &image_base(ImageTools::Apt));
}

#[test]
fn a_docker_image_without_a_package_manager() {
    let mut locked = image_base(ImageTools::None);
    locked.manifest.ssh = None;
    locked.manifest.packages.clear();
    let recipe = render(&locked).unwrap();
    insta::assert_snapshot!("docker_image_bare_dockerfile", recipe.dockerfile);
}

#[test]
fn packages_are_asked_for_in_the_words_of_the_package_manager() {
    let installing = |tools| {
        let dockerfile = render(&image_base(tools)).unwrap().dockerfile;
        let lines = dockerfile.lines().skip_while(|line| !line.starts_with("RUN apk") && !line.starts_with("RUN apt"));
        let lines = lines.take_while(|line| !line.starts_with(" && "));
        lines.flat_map(str::split_whitespace).filter(|word| *word != "\\").map(str::to_owned).collect::<Vec<_>>()
    };
    let apk = ["RUN", "apk", "add", "--no-cache", "iproute2", "jq", "openssh", "'python3=~3.11'"];
    assert_eq!(installing(ImageTools::Apk), apk);
    assert!(installing(ImageTools::Apt).starts_with(&["RUN".to_owned(), "apt-get".to_owned(), "update".to_owned()]));
}

fn image_base(tools: ImageTools) -> LockedManifest {
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.base = Base::Image("team/app:1.2".to_owned());
    let request = |name: &str, version: Option<&str>| PackageRequest {
        name: name.to_owned(),
        version: version.map(str::to_owned),
    };
    locked.manifest.packages = vec![request("jq", None), request("python3", Some("3.11.*"))];
    locked.lock.packages.clear();
    let env = [("PATH", "/opt/app/bin"), ("GREETING", "it's $HOME"), ("not a name", "x")];
    locked.lock.base_image = Some(LockedImage {
        reference: "team/app:1.2".to_owned(),
        digest: format!("sha256:{}", "5".repeat(64)),
        in_registry: true,
        tools,
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        user: "1234:5".to_owned(),
        workdir: "/work it's".to_owned(),
        entrypoint: vec!["app".to_owned()],
        cmd: vec!["--name".to_owned(), "it's $HOME".to_owned()],
    });
    locked
}

#[test]
fn without_ssh() {
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.ssh = None;
    locked.manifest.tmp = Tmp::Tmpfs(None);
    check("no_ssh", &locked);
}

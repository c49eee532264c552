//! Manifests that cannot be rendered.

use smolvm_manifest::{Base, Distro, LockedManifest, Manifest};
use smolvm_render::{RenderError, render};

use crate::fixture::{full, identity_text, inline, locked, map, step, user};

/// One way to spoil a manifest.
type Change = fn(&mut Manifest);

fn refused(change: impl FnOnce(&mut Manifest)) -> RenderError {
    let mut locked = full(Distro::DebianBookworm);
    change(&mut locked.manifest);
    render(&locked).unwrap_err()
}

fn accepted(locked: &LockedManifest) {
    render(locked).unwrap();
}

#[test]
fn an_environment_that_sshd_cannot_express() {
    let error = refused(|manifest| manifest.env = map(&[("GREETING", "s3cret\nline")]));
    assert!(matches!(&error, RenderError::Inexpressible { field, .. } if field == "env.GREETING"), "{error:?}");
    assert!(!format!("{error}{error:?}").contains("s3cret"), "the value may be a secret");

    // Without sshd only shells read it, and they can.
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.env = map(&[("GREETING", "two\nlines")]);
    locked.manifest.ssh = None;
    accepted(&locked);
}

#[test]
fn control_characters_that_would_break_out_of_their_line() {
    let changes: [(&str, Change); 18] = [
        ("name", |manifest| manifest.name.push_str("\nRUN evil")),
        ("hostname", |manifest| manifest.hostname.push('\n')),
        ("env", |manifest| manifest.env = map(&[("A\nB", "")])),
        ("env.A", |manifest| manifest.env = map(&[("A", "\0")])),
        ("repositories[0].url", |manifest| manifest.repositories[0].url.push_str("\nSigned-By: x")),
        ("repositories[0].suites", |manifest| manifest.repositories[0].suites.push("\n".to_owned())),
        ("ssh.authorized_keys", |manifest| {
            manifest.ssh.as_mut().unwrap().authorized_keys.push("ssh-ed25519 A\nssh-ed25519 B".to_owned());
        }),
        ("users[0].shell", |manifest| manifest.users[0].shell.push('\n')),
        ("users[0].home", |manifest| manifest.users[0].home.push('\n')),
        ("run[0].workdir", |manifest| manifest.run[0].workdir = "/a\nRUN evil".to_owned()),
        ("run[0].user", |manifest| manifest.run[0].user = "a\nRUN evil".to_owned()),
        ("run[1].secrets", |manifest| manifest.run[1].secrets.push("A,target=/etc/shadow".to_owned())),
        ("services[0].name", |manifest| manifest.services[0].name = "../app".to_owned()),
        ("services[0].user", |manifest| manifest.services[0].user.push('\n')),
        ("services[0].command", |manifest| manifest.services[0].command.push("\0".to_owned())),
        ("services[0].workdir", |manifest| manifest.services[0].workdir.push('\0')),
        ("services[0].env", |manifest| manifest.services[0].env = map(&[("A; reboot #", "")])),
        ("files[1].owner", |manifest| manifest.files[1].owner.as_mut().unwrap().user = "a b".to_owned()),
    ];
    for (expected, change) in changes {
        let error = refused(change);
        assert!(
            matches!(&error, RenderError::Inexpressible { field, .. } if field == expected),
            "{expected}: {error:?}"
        );
    }
}

#[test]
fn a_lock_that_would_break_out_of_its_line() {
    let mut locked = locked(Distro::DebianBookworm);
    locked.lock.packages[0].version = "1\nRUN evil".to_owned();
    assert!(matches!(render(&locked), Err(RenderError::Inexpressible { .. })));
}

#[test]
fn files_that_another_key_decides_too() {
    for target in [
        "/init",
        "/etc/smolvm/mounts",
        "/etc/ssh/sshd_config.d/00-smolvm.conf",
        "/etc/profile.d/smolvm-env.sh",
        "/root/.ssh/authorized_keys",
        "/home/dev/.ssh/authorized_keys",
    ] {
        let error = refused(|manifest| manifest.files.push(inline(target, "")));
        let RenderError::Clash { field, target: clashing, .. } = &error else { panic!("{target}: {error:?}") };
        assert_eq!((field.as_str(), clashing.as_str()), ("files[3]", target));
    }
}

#[test]
fn a_folder_that_brings_such_a_file_clashes_too_but_its_parents_do_not() {
    let mut locked = full(Distro::DebianBookworm);
    locked.manifest.files[1].target = "/".to_owned();
    accepted(&locked);
    let smolvm_manifest::FileContent::Local(source) = &mut locked.manifest.files[1].content else { unreachable!() };
    source.entries[4].path = "init".to_owned();
    assert!(matches!(render(&locked), Err(RenderError::Clash { .. })));
}

#[test]
fn mere_defaults_give_way_to_files() {
    let mut locked = locked(Distro::DebianBookworm);
    let targets = ["/etc/hosts", "/etc/hostname", "/etc/apt/sources.list.d/debian.sources"];
    locked.manifest.files = targets.map(|target| inline(target, "mine\n")).to_vec();
    let recipe = render(&locked).unwrap();
    for target in targets {
        assert_eq!(identity_text(&recipe, target), None, "{target}");
    }
}

#[test]
fn a_docker_image_as_base() {
    let error = refused(|manifest| manifest.base = Base::Image("node:22".to_owned()));
    assert_eq!(error, RenderError::ImageBase { reference: "node:22".to_owned() });
}

#[test]
fn nothing_is_refused_that_has_a_spelling() {
    let mut locked = full(Distro::DebianBookworm);
    locked.manifest.files[0].target = "/opt/a\nb 'c' \"d\" $e \\".to_owned();
    locked.manifest.run.push(step("printf '\u{1b}[1m\n\t'"));
    locked.manifest.users.push(user("o'brien $x", Some(1005)));
    accepted(&locked);
}

//! What the rendered files mean to the programs of the guest.

use std::process::Command;

use smolvm_manifest::{Distro, Tmp};
use smolvm_render::render;

use crate::fixture::{full, identity_text, locked, map, user};
use crate::shell::Shell;

/// Every combination of what the template decides on.
fn every_init() -> Vec<(String, String)> {
    let mut variants = Vec::new();
    for distro in Distro::ALL {
        for ssh in [true, false] {
            for tmp in [Tmp::Disk, Tmp::Tmpfs(None), Tmp::Tmpfs(Some(1 << 20))] {
                for services in [true, false] {
                    let mut locked = full(distro);
                    locked.manifest.tmp = tmp;
                    locked.manifest.ssh = locked.manifest.ssh.filter(|_| ssh);
                    if !services {
                        locked.manifest.services.clear();
                    }
                    let name = format!("{distro:?}, ssh {ssh}, {tmp:?}, services {services}");
                    variants.push((name, render(&locked).unwrap().init));
                }
            }
        }
    }
    variants
}

#[test]
fn every_shell_parses_every_init() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("init");
    let variants = every_init();
    assert_eq!(variants.len(), Distro::ALL.len() * 2 * 3 * 2);
    for shell in Shell::all() {
        for (name, init) in &variants {
            std::fs::write(&path, init).unwrap();
            let output = shell.command().arg("-n").arg(&path).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && words.is_empty(), "{name} {shell:?}: {words}");
        }
    }
}

#[test]
fn init_is_the_last_step_and_executable() {
    let recipe = render(&full(Distro::DebianBookworm)).unwrap();
    let last = crate::fixture::identity(&recipe).last().unwrap();
    assert_eq!((last.target.as_str(), last.mode), ("/init", Some(0o755)));
    assert_eq!(identity_text(&recipe, "/init"), Some(recipe.init.as_str()));
    assert!(recipe.dockerfile.trim_end().ends_with(r#"COPY ["init", "/init"]"#));
}

#[test]
fn login_shells_get_the_environment_exactly() {
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.ssh = None;
    let value = "it's \"$HOME\" `id` $(id) \\ * # -n\nsecond line ü";
    locked.manifest.env = map(&[("A", value), ("EMPTY", "")]);
    let recipe = render(&locked).unwrap();
    let profile = identity_text(&recipe, "/etc/profile.d/smolvm-env.sh").unwrap();
    for shell in ["dash", "bash"] {
        let script = format!("{profile}\nprintf '%s\\001%s' \"$A\" \"$EMPTY\"");
        let Ok(output) = Command::new(shell).args(["-c", &script]).output() else {
            eprintln!("skipped for {shell}: it is not installed");
            continue;
        };
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}\u{1}"), "{shell}");
    }
}

#[test]
fn passwords_are_accepted_only_where_somebody_has_one() {
    let sshd =
        |locked| identity_text(&render(&locked).unwrap(), "/etc/ssh/sshd_config.d/00-smolvm.conf").unwrap().to_owned();
    let nobody = sshd(locked(Distro::DebianBookworm));
    assert!(nobody.contains("PermitRootLogin prohibit-password\nPasswordAuthentication no\n"), "{nobody}");

    let mut with_user = locked(Distro::DebianBookworm);
    with_user.manifest.users =
        vec![smolvm_manifest::User { password_hash: Some("$6$a$b".to_owned()), ..user("dev", None) }];
    let user = sshd(with_user);
    assert!(user.contains("PermitRootLogin prohibit-password\nPasswordAuthentication yes\n"), "{user}");

    let root = sshd(full(Distro::DebianBookworm));
    assert!(root.contains("PermitRootLogin yes\nPasswordAuthentication yes\n"), "{root}");
    assert_eq!(root.lines().filter(|line| line.starts_with("SetEnv")).count(), 1, "only the first would count: {root}");
}

#[test]
fn a_guest_without_ssh_has_nothing_of_it() {
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.ssh = None;
    let recipe = render(&locked).unwrap();
    assert!(crate::fixture::identity(&recipe).all(|file| !file.target.contains("ssh")));
    assert!(!recipe.init.contains("/usr/sbin/sshd") && !recipe.init.contains("ssh-keygen"));
}

#[test]
fn tmp_is_emptied_on_disk_and_mounted_in_memory() {
    let of = |tmp| {
        let mut locked = locked(Distro::DebianBookworm);
        locked.manifest.tmp = tmp;
        let recipe = render(&locked).unwrap();
        let mounts = identity_text(&recipe, "/etc/smolvm/mounts").unwrap().to_owned();
        (recipe.init.contains("find /tmp"), mounts.lines().find(|line| line.contains(" /tmp ")).map(str::to_owned))
    };
    assert_eq!(of(Tmp::Disk), (true, None));
    assert_eq!(of(Tmp::Tmpfs(None)), (false, Some("tmpfs /tmp tmpfs nosuid,nodev,mode=1777 0 0".to_owned())));
    let sized = "tmpfs /tmp tmpfs nosuid,nodev,mode=1777,size=1048576 0 0";
    assert_eq!(of(Tmp::Tmpfs(Some(1 << 20))), (false, Some(sized.to_owned())));
}

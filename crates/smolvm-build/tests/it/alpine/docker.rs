//! Alpine through the Docker engine: built from the mirror, booted, reached by key and by password.

use std::path::Path;
use std::process::Command;

use smolvm_vm::Machine;

use super::AlpineMirror;
use crate::support::{Project, debian_host, docker_address, has, machine, programs_are_here, runtime};

const PASSWORD: &str = "canary-alpine-5521";

/// A daemon and a mirror, where an image of Alpine can be built and booted.
fn alpine() -> Option<(String, AlpineMirror)> {
    let docker = docker_address()?;
    has("an apt mirror of Debian, for the kernel", debian_host()).then_some(())?;
    has("qemu-system-x86_64 and ssh", programs_are_here(&["qemu-system-x86_64", "ssh"])).then_some(())?;
    Some((docker, AlpineMirror::start()?))
}

/// SmolVM's two ways to an Alpine image, as they stand in `examples/`, from the mirror of the tests.
#[test]
fn the_examples_are_built_booted_and_reached() {
    let Some((docker, mirror)) = alpine() else { return };
    import(&docker, &mirror, "alpine:3.22");
    for name in ["alpine-key", "alpine-password"] {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        let text = fs_err::read_to_string(example.join("Smolfile.yaml")).unwrap();
        let (address, key) = (mirror.address(), mirror.key_file());
        let smolfile = format!("{text}repositories:\n  - {{name: alpine, url: \"{address}\", signed_by: {key}}}\n");
        let project = Project::new(&smolfile).with("DOCKER_HOST", &docker).with("ROOT_PASSWORD", PASSWORD);
        fs_err::write(project.path().join(key), mirror.public_key()).unwrap();
        let image = project.build().unwrap_or_else(|error| panic!("{}", crate::archive::report(&error)));
        assert_eq!(image.name, name);
        runtime().block_on(async {
            let guest = Machine::boot(&machine(&image, project.path()), &|_| {}).await.unwrap();
            let script = ". /etc/os-release; echo $ID; cut -d' ' -f3 /root/.ssh/authorized_keys";
            let said = guest.command(Some(&["sh", "-c", script])).output().await.unwrap();
            let is_by_key = name == "alpine-key";
            let expected = if is_by_key { "alpine\nreplace-by-yours\n" } else { "alpine\n" };
            assert_eq!(String::from_utf8_lossy(&said.stdout), expected, "{name}: {said:?}");
            let port = port(&guest.command(Some(&["true"])));
            let expected = if is_by_key { "" } else { "root\n" };
            assert_eq!(by_password(&port, PASSWORD, project.path()), expected, "{name}");
            guest.power_off(&|_| {}).await.unwrap();
        });
    }
}

#[test]
fn alpine_is_built_booted_and_reached_by_key_and_by_password() {
    let Some((docker, mirror)) = alpine() else { return };
    import(&docker, &mirror, "alpine:3.20");
    let smolfile = format!(
        "name: alpine-box\nbase: alpine:3.20\nsize: 256MiB\npackages: [hello]\nkernel: debian\n\
         repositories:\n  - {{name: alpine, url: \"{}\", signed_by: {}}}\n\
         ssh: {{password: {{from_env: ROOT_PASSWORD}}}}\nenv: {{EDITOR: vi, GREETING: \"it's me\"}}\n\
         users:\n  - {{name: dev, uid: 1000, groups: [wheel], shell: /bin/sh}}\n\
         files:\n  - {{target: /etc/motd, content: \"welcome\\n\"}}\n  \
           - {{target: /opt/tool, content: \"#!/bin/sh\\n\", mode: \"0750\", owner: \"dev:dev\"}}\n  \
           - {{target: /opt/witness, content: \"#!/bin/sh\\nid -un; id -Gn; echo $1 $GREETING $EDITOR $HOME\\nexec sleep 1000\\n\", mode: \"0755\"}}\n\
         run:\n  - {{command: \"id -un > who\", user: dev, workdir: /home/dev, env: {{X: y}}}}\n\
         services:\n  - {{name: witness, command: [/opt/witness, \"it's $HOME\"], user: dev, env: {{GREETING: own}}}}\n  \
           - {{name: broken, command: [/nonexistent]}}\n",
        mirror.address(),
        mirror.key_file(),
    );
    let project = Project::new(&smolfile).with("DOCKER_HOST", &docker).with("ROOT_PASSWORD", PASSWORD);
    fs_err::write(project.path().join(mirror.key_file()), mirror.public_key()).unwrap();
    let image = project.build().unwrap_or_else(|error| panic!("{}", crate::archive::report(&error)));

    let checks = [
        "hello | grep -q 'Hello, world!'",
        "grep -q post-install /var/lib/hello/log",
        "grep -q welcome /etc/motd",
        "test \"$EDITOR $GREETING\" = \"vi it's me\"",
        "test \"$(stat -c '%a %U:%G' /opt/tool)\" = '750 dev:dev'",
        "test \"$(cat /home/dev/who)\" = dev",
        "id dev | grep -q wheel",
        "grep -q '^ID=alpine' /etc/os-release",
        "test \"$(hostname)\" = alpine-box",
        "test ! -e /.dockerenv",
        // busybox's own ways to another user and another session.
        "n=0; until grep -q own /var/log/smolvm/witness.log || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done",
        "test \"$(cat /var/log/smolvm/witness.log)\" = \"$(printf '%s\\n' dev 'dev wheel' \"it's \\$HOME own vi /home/dev\")\"",
        "grep -q '\"running\"' /run/smolvm/services/witness",
        "grep -q '\"status\":127' /run/smolvm/services/broken",
        "test -z \"$(ls /etc/apk/keys | grep -v -e alpine-devel -e test@)\"",
    ];
    // Each on its own, so that the one which does not hold is named.
    let script = checks.map(|check| format!("({check}) || echo {}\n", quoted(check))).concat();
    runtime().block_on(async {
        let guest = Machine::boot(&machine(&image, project.path()), &|_| {}).await.unwrap();
        let said = guest.command(Some(&["sh", "-c", script.as_str()])).output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "", "checks that do not hold: {said:?}");
        assert!(said.status.success(), "{said:?}");
        let port = port(&guest.command(Some(&["true"])));
        assert_eq!(by_password(&port, PASSWORD, project.path()), "root\n");
        assert_eq!(by_password(&port, "another", project.path()), "");
        guest.power_off(&|_| {}).await.unwrap();
    });
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Makes the mini root file system a base image of the daemon.
fn import(docker: &str, mirror: &AlpineMirror, name: &str) {
    let output =
        Command::new("docker").args(["--host", docker, "import"]).arg(mirror.minirootfs.archive()).arg(name).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The forwarded port, from the words of an ssh command.
fn port(command: &tokio::process::Command) -> String {
    let words: Vec<_> = command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let at = words.iter().position(|word| word == "-p").unwrap_or_else(|| panic!("no port in {words:?}"));
    words[at + 1].clone()
}

/// What `id -un` says to a client that has nothing but a password.
fn by_password(port: &str, password: &str, folder: &Path) -> String {
    let askpass = folder.join("askpass");
    fs_err::write(&askpass, format!("#!/bin/sh\necho {password}\n")).unwrap();
    fs_err::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new("ssh")
        .args(["-F", "none", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", "-o", "ConnectTimeout=30"])
        .args(["root@127.0.0.1", "id", "-un"])
        .env("SSH_ASKPASS", &askpass)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

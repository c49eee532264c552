//! The examples: each is built as it stands, booted, and does what it is for. Those of Alpine are tested where there is a mirror for it, in
//! `smolvm-build`; openclaw, which takes npm's registry, in `.ci/nightly`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::QEMU;
use super::shared::{Shared, has, needs, shared};
use crate::support::{Ran, ran, smolvm};

/// A copy of an example, built in the shared store.
fn built(name: &str) -> Option<Example> {
    if !needs("QEMU", has(QEMU)) || !needs("ssh", has("ssh")) {
        return None;
    }
    // It tells whether this machine can build at all.
    let shared = shared()?;
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join(name);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    ran(Command::new("cp").arg("-r").arg(example).arg(&folder)).expect_code(0);
    let lock = folder.join("Smolfile.lock");
    if lock.exists() {
        std::fs::remove_file(lock).expect("what somebody built by hand is of another day");
    }
    let example = Example { shared, name: name.to_owned(), folder, _scratch: scratch };
    example.smolvm(&["build"]).expect_code(0);
    Some(example)
}

struct Example {
    shared: &'static Shared,
    name: String,
    folder: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Example {
    fn smolvm(&self, words: &[&str]) -> Ran {
        ran(smolvm(&self.folder).env("HOME", &self.shared.home).args(words))
    }

    /// What a script prints in the guest. All of it has to succeed.
    #[track_caller]
    fn sh(&self, script: &str) -> String {
        self.smolvm(&["run", &self.name, "--", "sh", "-ec", script]).expect_code(0).stdout
    }
}

#[test]
fn debian_key_has_the_key_and_no_password() {
    let Some(example) = built("debian-key") else { return };
    let said = example.sh(
        ". /etc/os-release; echo $VERSION_CODENAME; cat /root/.ssh/authorized_keys; getent shadow root | cut -d: -f2",
    );
    let said: Vec<&str> = said.lines().collect();
    assert_eq!((said[0], said.last().copied()), ("bookworm", Some("*")), "{said:?}");
    assert!(said[1].ends_with("replace-by-yours"), "{said:?}");
}

#[test]
fn team_dev_is_everybodys_machine() {
    let Some(example) = built("team-dev") else { return };
    let said = example.sh(
        "hostname; id -un 1000; grep -c . /home/dev/.ssh/authorized_keys; stat -c '%a %U' /etc/sudoers.d/dev /home/dev/.tmux.conf
         su - dev -c 'sudo -n id -un; echo $EDITOR $TEAM; git init -q src/x && git -C src/x symbolic-ref HEAD; cc --version | head -c 2'",
    );
    assert_eq!(said, "dev\ndev\n2\n440 root\n644 dev\nroot\nvi platform\nrefs/heads/main\ncc");
}

#[test]
fn python_has_its_virtual_environment() {
    let Some(example) = built("python") else { return };
    let said = example.sh(
        "su - dev -c '. venv/bin/activate; python -c \"import sys; print(sys.prefix, sys.dont_write_bytecode)\"; pip --version | cut -c1-4'",
    );
    assert_eq!(said, "/home/dev/venv True\npip \n");
}

#[test]
fn service_answers_and_is_started_again() {
    let Some(example) = built("service") else { return };
    let script = r#"
        ask() {
            for _ in $(seq 300); do
                if exec 3<>/dev/tcp/127.0.0.1/8080; then
                    printf 'GET / HTTP/1.0\r\n\r\n' >&3
                    grep -c '^20[0-9][0-9]-' <&3
                    return
                fi
                sleep 0.2
            done 2>/dev/null
        }
        ask
        ps -o user= -C node
        pkill node
        sleep 1
        ask
        grep -o '"restarts":[0-9]*' /run/smolvm/services/agent
    "#;
    let said = example.smolvm(&["run", "service", "--", "bash", "-ec", script]).expect_code(0).stdout;
    assert_eq!(said, "1\nagent\n1\n\"restarts\":1\n");
}

/// The key of a boot is root's, and root is not let in.
#[test]
fn locked_down_lets_nobody_in_but_its_user() {
    let Some(example) = built("locked-down") else { return };
    let refused = example.smolvm(&["run", "locked-down", "--", "true"]).expect_code(1);
    assert!(refused.stderr.contains("SSH answered but refused the key"), "{refused}");
}

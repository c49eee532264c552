//! The image, booted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::machine::QEMU;
use super::shared::{Shared, has, needs, shared};
use crate::support::Ran;

/// The shared image, where it can be booted.
fn bootable() -> Option<&'static Shared> {
    let here = needs("QEMU", has(QEMU)) && needs("ssh", has("ssh"));
    if here { shared() } else { None }
}

/// Runs a script in a fresh boot.
fn in_guest(shared: &Shared, script: &str) -> Ran {
    shared.run(&["run", "project", "--", "sh", "-c", script])
}

#[test]
fn the_command_decides_the_exit_code() {
    let Some(shared) = bootable() else { return };
    let ran = in_guest(shared, "echo out; echo err >&2; exit 7").expect_code(7);
    assert_eq!(ran.stdout, "out\n", "{ran}");
    assert!(ran.stderr.lines().any(|line| line == "err"), "{ran}");
}

/// What the first boot does, and shows of itself.
const FIRST: &str = r#"
set -u
check() { name=$1; shift; output=$("$@" 2>&1); code=$?; [ "$code" = 0 ] && [ -z "$output" ] || echo "$name: code $code: $output"; }
check 'dpkg --audit' dpkg --audit
check 'apt-get check' sh -c 'apt-get check >/dev/null'
check 'not ii' sh -c "dpkg -l | sed '1,/^+++/d' | grep -v '^ii ' || true"
check 'dpkg -V' sh -c 'dpkg -V | grep -v "^....L....  */etc/motd" || true'
check 'setuid' sh -c '[ "$(stat -c %a /usr/bin/passwd)" = 4755 ]'
check 'capability' sh -c 'getcap /usr/bin/ping | grep -q cap_net_raw || ! command -v getcap >/dev/null'
check 'env' sh -c '[ "$GREETING" = "hello from smolvm" ]'
check 'motd' sh -c '[ "$(cat /etc/motd)" = "built by a test" ]'
check 'user' sh -c '[ "$(id -u dev):$(stat -c %U:%G /home/dev/hello.py)" = 1000:dev:dev ]'
check 'run step' sh -c '[ "$(cat /home/dev/built-by)" = dev ]'
check 'no traces of the build' sh -c '! ls /home/dev/__pycache__ /etc/resolv.conf.* 2>/dev/null'
check 'only this kernel booted' sh -c '[ "$(cat /proc/1/comm)" = init ]'
check 'host keys' sh -c 'ls /etc/ssh/ssh_host_ed25519_key >/dev/null'
echo before > /root/marker
sync
cat /etc/ssh/ssh_host_ed25519_key.pub
"#;

const SECOND: &str = r"
[ ! -e /root/marker ] || echo 'the first run is still here'
cat /etc/ssh/ssh_host_ed25519_key.pub
";

#[test]
fn debian_is_whole_and_nothing_lasts() {
    let Some(shared) = bootable() else { return };
    let first = in_guest(shared, FIRST).expect_code(0).stdout;
    assert!(first.starts_with("ssh-ed25519 ") && first.lines().count() == 1, "{first}");
    let second = in_guest(shared, SECOND).expect_code(0).stdout;
    assert!(second.starts_with("ssh-ed25519 ") && second.lines().count() == 1, "{second}");
    assert_ne!(first, second, "two boots have the same host key");
}

/// What `build` prints boots under QEMU typed by hand: until sshd listens, and the image's files stay as they were.
#[test]
fn boots_by_hand() {
    let Some(shared) = bootable() else { return };
    let text =
        |name: &str| shared.image[name].as_str().unwrap_or_else(|| panic!("{name}: {}", shared.image)).to_owned();
    let mut qemu = Command::new(QEMU);
    #[cfg(target_arch = "aarch64")]
    qemu.args(["-machine", "virt", "-cpu", "max"]);
    qemu.args(["-m", "512", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"]);
    qemu.args(["-kernel", &text("kernel"), "-initrd", &text("initrd"), "-append", &text("boot_args")]);
    qemu.args(["-drive", &format!("file={},format=raw,if=virtio,snapshot=on", text("rootfs"))]);
    let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("QEMU starts");
    let mut console = String::new();
    let mut up = false;
    for line in BufReader::new(child.stdout.take().expect("a console")).split(b'\n') {
        let line = line.expect("the console is read");
        let line = String::from_utf8_lossy(&line);
        console.push_str(&line);
        console.push('\n');
        if line.contains("SMOLVM_TS stage=sshd") {
            up = true;
            break;
        }
        if line.contains("Kernel panic") {
            break;
        }
    }
    child.kill().expect("QEMU is stopped");
    child.wait().expect("QEMU ends");
    assert!(up, "sshd never started:\n{console}");
}

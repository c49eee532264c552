//! What init does for a guest, from its first stage to the end of the power: an image that asks for all of it, booted several times.

use std::path::Path;

use super::machine::{Disk, QEMU, STATIC, until};
use super::shared::{has, needs, shared};
use crate::support::{ran, smolvm};

const PASSWORD: &str = "right-5521";

/// Its passwords are all the same one.
const SMOLFILE: &str = r##"
name: everything
base: debian:bookworm
packages: [isc-dhcp-client, e2fsprogs]
ssh:
  password: {hash: "$6$smolvmtest$s8Uwi81z5omhCb9AKKjrcMmbsHnBp0r7LYiwmdQOZKoJ9VIdzsF2vsiz1ZH7noGg9dJD1bA2CjKTJnVncY5i51"}
env: {GREETING: "it's \"me\" $HOME", LEVEL: guest}
users:
  - name: dev
    uid: 1000
    shell: /bin/bash
    authorized_keys: ["KEY"]
    password: {hash: "$6$smolvmtest$s8Uwi81z5omhCb9AKKjrcMmbsHnBp0r7LYiwmdQOZKoJ9VIdzsF2vsiz1ZH7noGg9dJD1bA2CjKTJnVncY5i51"}
  - {name: keyless}
files:
  - {target: /usr/local/bin/ticker, mode: "0755", content: "#!/bin/sh\necho \"$1 started\"\nsleep 100000 &\nwhile :; do sleep 100000; done\n"}
services:
  - {name: ticker, command: [/usr/local/bin/ticker, "it's \"$HOME\""], user: dev, workdir: /home/dev, env: {LEVEL: service}, restart: always, after: [network]}
  - {name: broken, command: [/nonexistent/app]}
  - {name: once, command: [/bin/sh, -c, "exit 3"], restart: never}
  - {name: chatty, command: [/bin/sh, -c, "head -c 3000000 /dev/zero; echo the end; exec sleep 100000"]}
"##;

/// Before it is built: what the tests need beside what the build needs.
fn can_boot() -> bool {
    needs("QEMU", has(QEMU))
        && needs("ssh, ssh-keygen and sftp", ["ssh", "ssh-keygen", "sftp"].into_iter().all(has))
        && needs("e2fsck", Path::new("/usr/sbin/e2fsck").exists())
}

#[test]
fn a_guest_from_its_first_stage_to_the_end_of_the_power() {
    // What the shared image proves to work here, this one may use. It is also what tells whether it can be built.
    if !can_boot() {
        return;
    }
    let Some(shared) = shared() else { return };
    let project = tempfile::tempdir().expect("a folder");
    let user_key = project.path().join("user-key");
    ran(std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&user_key))
        .expect_code(0);
    let public = std::fs::read_to_string(user_key.with_extension("pub")).expect("the key");
    let line = format!("no-port-forwarding,command=\\\"echo forced: $SSH_ORIGINAL_COMMAND\\\" {}", public.trim());
    std::fs::write(project.path().join("Smolfile.yaml"), SMOLFILE.replace("KEY", &line)).expect("a Smolfile");
    let image = ran(smolvm(project.path()).env("HOME", &shared.home).args(["build", "--json"])).expect_code(0).data();
    let disk = Disk::of(&image);

    first_boot(&disk, &user_key);
    disk.expect_clean();
    grown_boot(&disk);
    disk.expect_clean();
    guest_network_boot(&disk);
    disk.expect_clean();
    boot_without_sshd(&disk);
}

/// The shared image has keys of a boot alone.
#[test]
fn nobody_gets_in_by_a_password_where_nobody_has_one() {
    if !can_boot() {
        return;
    }
    let Some(shared) = shared() else { return };
    let disk = Disk::of(&shared.image);
    let mut guest = disk.boot(&[STATIC]);
    guest.wait_for_ssh();
    for user in ["root", "dev"] {
        let refused = guest.by_password(user, PASSWORD, "id -un");
        assert!(
            refused.code == Some(255) && refused.stderr.contains("Permission denied (publickey)"),
            "{user}: {refused}"
        );
    }
    assert_eq!(guest.sh("id -un"), "root\n");
}

/// A static network; services, SSH, and SIGPWR at the end.
fn first_boot(disk: &Disk, user_key: &Path) {
    let mut guest = disk.boot(&[STATIC]);
    guest.wait_for_ssh();
    let stages = guest.sh("cat /run/smolvm/milestones.jsonl");
    let stages: Vec<serde_json::Value> = stages
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().expect("a name")).collect();
    let expected = [
        "init-start",
        "mounts-ready",
        "net-ready",
        "ssh-hostkey-check-done",
        "sshd-start",
        "services-start",
        "init-complete",
    ];
    assert_eq!(names, expected);
    assert!(stages.is_sorted_by_key(|stage| stage["uptime_s"].as_f64().expect("seconds").to_bits()), "{stages:?}");

    network(&guest);
    services(&guest);
    logins(&guest, disk, user_key);
    orphans(&guest);

    signal_init(&guest, "PWR");
    let console = guest.wait_for_end();
    let at = |words: &str| console.find(words).unwrap_or_else(|| panic!("{words} is not said:\n{console}"));
    assert!(at("stage=shutdown-start") < at("stage=services-stopped"));
    assert!(at("stage=services-stopped") < at("stage=power-off"));
    assert!(!console.contains("SMOLVM_FAIL stage=shutdown"), "{console}");
}

fn network(guest: &super::machine::Machine<'_>) {
    assert_eq!(guest.sh("cat /etc/resolv.conf"), "nameserver 10.0.2.3\n");
    assert_eq!(guest.sh("hostname; getent hosts box | cut -d' ' -f1"), "box\n127.0.1.1\n");
    let routes = guest.sh("ip -4 route | sed 's/ *$//'");
    let expected = "default via 10.0.2.2 dev eth0\n10.0.2.0/24 dev eth0 proto kernel scope link src 10.0.2.15\n10.0.2.2 dev eth0 scope link\n";
    assert_eq!(routes, expected);
}

fn services(guest: &super::machine::Machine<'_>) {
    let state = |name: &str| -> serde_json::Value {
        let text = guest.sh(&format!("cat /run/smolvm/services/{name}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    // A broken one stops nothing, and says why.
    let console = guest.console();
    for line in [
        "SMOLVM_FAIL stage=service-broken there is no program /nonexistent/app\n",
        "SMOLVM_FAIL stage=service-broken it ended with status 127 and is started again in 1 s\n",
        "SMOLVM_FAIL stage=service-once it ended with status 3 and is not started again\n",
    ] {
        assert!(console.contains(line), "{line}\n{console}");
    }
    assert_eq!(
        state("once"),
        serde_json::json!({"name": "once", "state": "failed", "pid": null, "restarts": 0, "status": 3})
    );
    assert_eq!(state("broken")["status"], 127);

    let ticker = state("ticker");
    assert_eq!((&ticker["state"], &ticker["restarts"]), (&"running".into(), &0.into()), "{ticker}");
    let seen = guest.sh(&format!(
        "cd /proc/{}; tr '\\0' '\\n' <environ | grep -e ^GREETING= -e ^LEVEL= -e ^USER= -e ^HOME= | sort; readlink cwd; \
         stat -c %U:%G .; grep ^Groups: status | tr -d '\\t '; cat /var/log/smolvm/ticker.log",
        ticker["pid"]
    ));
    let expected = "GREETING=it's \"me\" $HOME\nHOME=/home/dev\nLEVEL=service\nUSER=dev\n/home/dev\ndev:dev\nGroups:1000\n\
        it's \"$HOME\" started\n";
    assert_eq!(seen, expected);

    // Killed twice, it is back twice, and what it had started is not there twice.
    for restarts in 1..=2 {
        let again = format!("grep -q '\"running\".*\"restarts\":{restarts}' /run/smolvm/services/ticker");
        let pid = state("ticker")["pid"].clone();
        assert_eq!(guest.sh(&format!("kill -KILL {pid}; {}", until(&again))), "");
        let told = format!("stage=service-ticker it ended with status 137 and is started again in {restarts} s\n");
        assert!(guest.console().contains(&told), "{told}:\n{}", guest.console());
    }
    let count = guest.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 10000[0]' | wc -l");
    assert_eq!(count.trim(), "3", "the ticker's two and the chatty one's");

    // A log is cut at 1 MiB, some time within 10 s.
    let cut = guest.sh(&format!(
        "cd /var/log/smolvm; {}tail -c 8 chatty.log.1; stat -c '%s %a' chatty.log chatty.log.1",
        until("[ -e chatty.log.1 ] && [ ! -s chatty.log ]")
    ));
    assert_eq!(cut, "the end\n0 600\n1048576 600\n");
}

fn logins(guest: &super::machine::Machine<'_>, disk: &Disk, user_key: &Path) {
    let env = guest.sh("env");
    assert!(env.lines().any(|line| line == "GREETING=it's \"me\" $HOME"), "{env}");
    assert_eq!(guest.sh("env -i bash -l -c 'echo \"$GREETING $LEVEL\"'"), "it's \"me\" $HOME guest\n");

    for user in ["root", "dev"] {
        let right = guest.by_password(user, PASSWORD, "id -un");
        assert_eq!(right.stdout, format!("{user}\n"), "{right}");
    }
    for (user, password) in [("root", "wrong"), ("keyless", PASSWORD), ("nobody", PASSWORD)] {
        let wrong = guest.by_password(user, password, "id -un");
        assert!(wrong.code == Some(255) && wrong.stderr.contains("Permission denied"), "{user}: {wrong}");
    }
    assert_eq!(guest.by_key("dev", user_key, "rm -rf /").stdout, "forced: rm -rf /\n");
    for (user, key) in [("root", user_key), ("dev", &disk.key()), ("keyless", user_key)] {
        let refused = guest.by_key(user, key, "id -un");
        assert!(refused.code == Some(255) && refused.stderr.contains("Permission denied"), "{user}: {refused}");
    }
    let copy = disk.folder().join("copy");
    let fetched = guest.fetch("/etc/os-release", &copy);
    assert_eq!(fetched.code, Some(0), "{fetched}");
    assert!(std::fs::read_to_string(&copy).expect("what was fetched").contains("ID=debian"));
}

/// Processes that lose their parents become init's.
fn orphans(guest: &super::machine::Machine<'_>) {
    let made = "sh -c 'i=0; while [ $i -lt 200 ]; do sleep 0.01 & i=$((i + 1)); done'; ";
    let zombies = "[ -z \"$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null)\" ]";
    let over = "! grep -qx sleep.0.01. /proc/[0-9]*/cmdline 2>/dev/null";
    assert_eq!(guest.sh(&format!("{made}{}{}", until(over), until(zombies))), "");
}

/// The disk has become larger meanwhile. SIGTERM at the end.
fn grown_boot(disk: &Disk) {
    const SIZE: u64 = 3 << 30;
    let before = std::fs::metadata(disk.path()).expect("the disk").len();
    assert!(before < SIZE, "{before}");
    disk.grow_to(SIZE);
    let mut guest = disk.boot(&[STATIC, "ip=10.0.2.15::10.0.2.2:255.0.0.0"]);
    guest.wait_for_ssh();
    let seen =
        guest.sh("cat /etc/smolvm/disk; stat -f -c '%b %S' /; ip -4 -o address show dev eth0; cat /etc/resolv.conf");
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some((SIZE / 512).to_string().as_str()), "{seen}");
    let blocks: Vec<u64> =
        lines.next().expect("blocks").split(' ').map(|number| number.parse().expect("a number")).collect();
    assert!(blocks[0] * blocks[1] > SIZE / 10 * 9, "it did not grow: {seen}");
    // The last of several counts.
    assert!(lines.next().is_some_and(|line| line.contains("10.0.2.15/8")), "{seen}");
    let servers = ["nameserver 10.0.2.2", "nameserver 8.8.8.8", "nameserver 8.8.4.4"];
    assert_eq!(lines.collect::<Vec<_>>(), servers);
    signal_init(&guest, "TERM");
    assert!(!guest.wait_for_end().contains("SMOLVM_FAIL stage=disk"));
}

/// Signals process 1 when the connection is closed already: the guest may end before ssh has the command's status.
fn signal_init(guest: &super::machine::Machine<'_>, signal: &str) {
    guest.sh(&format!("(sleep 1; kill -{signal} 1) </dev/null >/dev/null 2>&1 &"));
}

/// DHCP, by the image's own client. SIGINT at the end.
fn guest_network_boot(disk: &Disk) {
    let mut guest = disk.boot(&["smolvm.network=guest"]);
    guest.wait_for_ssh();
    let seen = guest
        .sh("ip -4 -o address show dev eth0; cat /etc/resolv.conf; cat /run/smolvm/services/ticker; rm /usr/sbin/sshd");
    assert!(seen.contains(" 10.0.2.15/24 ") && seen.contains("nameserver 10.0.2.3"), "{seen}");
    assert!(seen.contains(r#""state":"running""#), "{seen}");
    assert!(!guest.console().contains("SMOLVM_FAIL stage=network"), "{}", guest.console());
    signal_init(&guest, "INT");
    guest.wait_for_end();
}

fn boot_without_sshd(disk: &Disk) {
    let mut guest = disk.boot(&[STATIC]);
    guest.wait_for("SMOLVM_TS stage=init-complete");
    let console = guest.console();
    assert!(console.contains("SMOLVM_FAIL stage=sshd there is no /usr/sbin/sshd in this image\n"), "{console}");
    assert!(console.contains("SMOLVM_TS stage=services-start"), "{console}");
}

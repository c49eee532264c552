//! An image under virtual machine monitors: as `run` starts it, and as `image inspect --format` says that one starts it oneself.

use std::io::{BufRead, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::machine::QEMU;
use super::shared::{Shared, has, needs, shared};
use crate::support::{Ran, ran};

/// Longer than any boot takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

fn bootable() -> Option<&'static Shared> {
    let here = needs("QEMU", has(QEMU)) && needs("ssh", has("ssh"));
    if here { shared() } else { None }
}

/// What is printed for a monitor: the text as it stands, and the envelope's data.
fn printed(shared: &Shared, vmm: &str) -> (String, Value) {
    let text = shared.run(&["image", "inspect", "project", "--format", vmm]).expect_code(0).stdout;
    let data = shared.run(&["image", "inspect", "project", "--format", vmm, "--json"]).expect_code(0).data();
    (text, data)
}

#[track_caller]
fn expect_untouched(shared: &Shared) {
    let verified = shared.run(&["image", "verify", "project"]).expect_code(0);
    assert_eq!(verified.stdout, "project is what was built\n");
}

/// Reads lines until one has these words, and returns all that were read.
#[track_caller]
fn read_until(reader: impl std::io::Read, words: &str) -> String {
    let mut read = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.expect("it can be read");
        read.push_str(&String::from_utf8_lossy(&line));
        read.push('\n');
        if read.contains(words) {
            return read;
        }
    }
    panic!("it never said {words:?}:\n{read}");
}

#[track_caller]
fn wait_for_greeting(port: u16) {
    let started = Instant::now();
    let greeted = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        std::io::Result::Ok(&greeting == b"SSH-")
    };
    while !matches!(greeted(), Ok(true)) {
        assert!(started.elapsed() < PATIENCE, "nobody greets at {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A process that is ended when the test is.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A shell runs the line, with the port that it names.
#[test]
fn qemus_line_boots_as_it_is_printed() {
    let Some(shared) = bootable() else { return };
    let (line, data) = printed(shared, "qemu");
    assert_eq!(data["command"], line.as_str());
    assert_eq!(data["disk"], Value::Null, "what the guest writes is thrown away");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {line}")).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut qemu = Ended(shell.spawn().expect("a shell"));
    read_until(qemu.0.stdout.take().expect("a console"), "SMOLVM_TS stage=init-complete");
    wait_for_greeting(2222);
    drop(qemu);
    expect_untouched(shared);
}

/// Fields and types of Firecracker's API, version 1.17: what its requests for boot source, drive, machine and network interface may hold. A file
/// for `--config-file` holds their bodies. Restated from src/firecracker/swagger/firecracker.yaml of Firecracker's repository.
fn firecrackers_api() -> Value {
    let object = |required: &[&str], properties: Value| json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties});
    let text = json!({"type": "string", "minLength": 1});
    let yes_or_no = json!({"type": "boolean"});
    let array = |items: Value| json!({"type": "array", "items": items, "minItems": 1});
    let boot_source =
        object(&["kernel_image_path"], json!({"kernel_image_path": text, "boot_args": text, "initrd_path": text}));
    let drive = object(
        &["drive_id", "is_root_device"],
        json!({
            "drive_id": text, "path_on_host": text, "is_root_device": yes_or_no, "is_read_only": yes_or_no, "partuuid": text,
            "cache_type": {"enum": ["Unsafe", "Writeback"]}, "io_engine": {"enum": ["Sync", "Async"]},
        }),
    );
    let machine = object(
        &["vcpu_count", "mem_size_mib"],
        json!({
            "vcpu_count": {"type": "integer", "minimum": 1, "maximum": 32}, "mem_size_mib": {"type": "integer", "minimum": 1},
            "smt": yes_or_no, "track_dirty_pages": yes_or_no, "huge_pages": {"enum": ["None", "Transparent", "2M"]},
        }),
    );
    let interface = object(
        &["iface_id", "host_dev_name"],
        json!({
            "iface_id": text, "host_dev_name": text, "mtu": {"type": "integer", "minimum": 68, "maximum": 65535},
            "guest_mac": {"type": "string", "pattern": "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$"},
        }),
    );
    object(
        &["boot-source", "drives", "machine-config", "network-interfaces"],
        json!({
            "boot-source": boot_source, "drives": array(drive), "machine-config": machine,
            "network-interfaces": array(interface),
        }),
    )
}

#[test]
fn firecrackers_file_is_what_its_api_takes() {
    let Some(shared) = bootable() else { return };
    let (text, data) = printed(shared, "firecracker");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(data["config"], config);
    let api = jsonschema::validator_for(&firecrackers_api()).expect("a schema");
    let mistakes: Vec<String> = api.iter_errors(&config).map(|mistake| mistake.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}: {config:#}");
    for damaged in ["/machine-config/vcpu_count", "/drives/0/is_root_device", "/boot-source/kernel_image_path"] {
        let mut config = config.clone();
        *config.pointer_mut(damaged).expect("a field") = json!("");
        assert!(!api.is_valid(&config), "the check cannot fail: {damaged}");
    }

    assert_eq!(config["boot-source"]["initrd_path"], shared.image["initrd"]);
    let args = &config["boot-source"]["boot_args"];
    assert_eq!(args, "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw init=/init");
    assert_eq!(config["drives"][0]["path_on_host"], "project.ext4");

    // The disk, by the command that was told.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = data["copy_command"].as_str().expect("a command");
    ran(Command::new("sh").args(["-c", copy]).current_dir(folder.path())).expect_code(0);
    let disk = folder.path().join("project.ext4");
    let disk = std::fs::OpenOptions::new().write(true).open(disk).expect("a disk that may be written on");
    assert_eq!(Some(disk.metadata().expect("its size").len()), shared.image["size_bytes"].as_u64());

    #[cfg(target_arch = "x86_64")]
    boots_without_unpacking(&config);
    expect_untouched(shared);
}

/// The ELF that was taken out of the distribution's kernel boots: QEMU enters it as Firecracker does, by its PVH note.
#[cfg(target_arch = "x86_64")]
fn boots_without_unpacking(config: &Value) {
    let source = |name: &str| config["boot-source"][name].as_str().expect("text").to_owned();
    let kernel = source("kernel_image_path");
    let mut magic = [0; 4];
    std::fs::File::open(&kernel).and_then(|mut file| file.read_exact(&mut magic)).expect("a kernel");
    assert_eq!(&magic, b"\x7fELF");
    let mut qemu = Command::new(QEMU);
    qemu.args(["-machine", "q35", "-cpu", "max,la57=off", "-m", "512", "-nodefaults", "-display", "none"]);
    qemu.args(["-serial", "stdio", "-no-reboot", "-kernel", &kernel, "-initrd", &source("initrd_path")]);
    qemu.args(["-append", "console=ttyS0 panic=1"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut qemu = Ended(qemu.spawn().expect("QEMU starts"));
    // Without a disk: the kernel runs, and its initrd too.
    read_until(qemu.0.stdout.take().expect("a console"), "Run /init as init process");
}

#[test]
fn other_monitors_get_the_same_kernel_and_a_disk_of_their_own() {
    let Some(shared) = bootable() else { return };
    let (_, firecracker) = printed(shared, "firecracker");
    let kernel = firecracker["config"]["boot-source"]["kernel_image_path"].as_str().expect("a path");
    let (cloud_hypervisor, _) = printed(shared, "cloud-hypervisor");
    assert!(cloud_hypervisor.contains(kernel) && cloud_hypervisor.contains("path=project.ext4"), "{cloud_hypervisor}");
    let (libkrun, _) = printed(shared, "libkrun");
    let libkrun: Value = serde_json::from_str(&libkrun).expect("JSON");
    assert_eq!(libkrun["kernel_path"], kernel);
    assert_eq!(libkrun["rootfs_path"], "project.ext4");
    let words = ["image", "inspect", "project", "--format", "firecracker", "--disk", "/srv/mine", "--cpus", "4"];
    let mine: Value = serde_json::from_str(&shared.run(&words).expect_code(0).stdout).expect("JSON");
    assert_eq!(mine["drives"][0]["path_on_host"], "/srv/mine");
    assert_eq!(mine["machine-config"]["vcpu_count"], 4);
}

#[test]
fn what_a_guest_writes_on_a_kept_disk_is_there_the_next_time() {
    let Some(shared) = bootable() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let disk = folder.path().join("disk.ext4");
    let run = |words: &[&str]| {
        let mut smolvm = shared.smolvm();
        ran(smolvm.args(["run", "project", "--persist"]).arg(&disk).args(words))
    };
    run(&["--", "sh", "-c", "echo kept > /root/marker; mkdir /data"]).expect_code(0);
    assert_eq!(run(&["--", "cat", "/root/marker"]).expect_code(0).stdout, "kept\n");

    // Shown as it goes, and powered off when it is asked to stop.
    let mut smolvm = shared.smolvm();
    smolvm.args(["run", "project", "-v", "--console", "--persist"]).arg(&disk).stderr(Stdio::piped());
    let mut watched = Ended(smolvm.spawn().expect("smolvm starts"));
    let mut console = watched.0.stderr.take().expect("stderr");
    let shown = read_until(&mut console, "ready after");
    assert!(shown.contains("SMOLVM_TS stage=init-start"), "{shown}");
    kill_process(Pid::from_child(&watched.0), Signal::INT).expect("a signal");
    let mut rest = String::new();
    console.read_to_string(&mut rest).expect("the rest");
    let code = watched.0.wait().expect("it ends").code();
    assert_eq!(code, Some(130), "{rest}");
    assert!(rest.contains("stage=power-off"), "{rest}");
    if needs("e2fsck", Path::new("/usr/sbin/e2fsck").exists()) {
        let header = ran(Command::new("/usr/sbin/dumpe2fs").arg("-h").arg(&disk)).expect_code(0).stdout;
        assert!(!header.contains("needs_recovery"), "the journal was not closed: {header}");
    }
    expect_untouched(shared);
}

#[test]
fn a_published_port_leads_to_the_guest() {
    let Some(shared) = bootable() else { return };
    let port = free_port();
    let mut smolvm = shared.smolvm();
    smolvm.args(["run", "project", "--publish", &format!("{port}:22"), "--", "sh", "-c", "echo up; sleep 1000"]);
    let mut running = Ended(smolvm.stdout(Stdio::piped()).spawn().expect("smolvm starts"));
    read_until(running.0.stdout.take().expect("stdout"), "up");
    wait_for_greeting(port);
    let taken = shared.run(&["run", "project", "-p", &format!("{port}:80"), "--", "true"]).expect_code(3);
    assert!(taken.stderr.contains(&format!("the port {port} of 127.0.0.1 cannot be forwarded")), "{taken}");
    kill_process(Pid::from_child(&running.0), Signal::TERM).expect("a signal");
    assert_eq!(running.0.wait().expect("it ends").code(), Some(130));
}

/// Debian's cloud kernel has no 9p: that is found out in the guest. Sharing itself is tried with smolvm's own kernel, in `.ci/nightly`.
#[test]
fn a_folder_that_cannot_be_shared_is_told_with_the_reason() {
    let Some(shared) = bootable() else { return };
    let share = |what: &str| shared.run(&["run", "project", "--share", what, "--", "true"]);
    let refused = share(".:/mnt").expect_code(2);
    assert!(refused.stderr.contains("the image's kernel has no 9p file system"), "{refused}");
    let missing = share("no-such-folder:/mnt").expect_code(2);
    assert!(missing.stderr.contains("`no-such-folder` cannot be shared: it is no folder"), "{missing}");
}

/// Stands in for Firecracker, which needs KVM: reads the same file, and starts QEMU with the same kernel (by its PVH entry), disk and network device.
/// A reset ends it, too. Devices are on PCI: QEMU's `microvm`, whose are not, loses its timer now and then under TCG.
const STAND_IN: &str = r#"#!/bin/sh
set -u
[ "$1 $2" = '--no-api --config-file' ] || exit 64
config=$(cat "$3")
text() { printf '%s' "$config" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
number() { printf '%s' "$config" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
initrd=$(text initrd_path)
arguments=$(text boot_args | sed 's/ pci=off / smolvm.poweroff=reset /')
exec qemu-system-x86_64 -machine q35 -accel tcg -cpu max,la57=off -nodefaults -no-user-config -no-reboot \
    -m "$(number mem_size_mib)M" -smp "$(number vcpu_count)" -display none -serial stdio \
    -kernel "$(text kernel_image_path)" ${initrd:+-initrd "$initrd"} -append "$arguments" \
    -drive "id=root,if=none,format=raw,file=$(text path_on_host)" -device virtio-blk-pci,drive=root \
    -netdev "tap,id=net,ifname=$(text host_dev_name),script=no,downscript=no" \
    -device "virtio-net-pci,netdev=net,romfile=,mac=$(text guest_mac)" -device virtio-rng-pci
"#;

/// The shared project with the stand-in as `firecracker`; `None`, said aloud, where it cannot work.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn with_firecracker() -> Option<(&'static Shared, tempfile::TempDir)> {
    let shared = bootable()?;
    let root = rustix::process::geteuid().is_root();
    let network = needs("root, /dev/net/tun and ip", root && Path::new("/dev/net/tun").exists() && has("ip"));
    if !network || !cfg!(target_arch = "x86_64") {
        return None;
    }
    if !Path::new("/dev/kvm").exists() {
        eprintln!("skipped: Firecracker is not even started where there is no /dev/kvm");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("firecracker");
    std::fs::write(&program, STAND_IN).expect("a program");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    Some((shared, folder))
}

fn firecracker(shared: &Shared, folder: &Path, words: &[&str]) -> Ran {
    ran(firecracker_command(shared, folder).args(words))
}

fn firecracker_command(shared: &Shared, folder: &Path) -> Command {
    let mut command = shared.smolvm();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [PathBuf::from(folder)].into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("folders"));
    command.args(["run", "project", "--vmm", "firecracker"]);
    command
}

fn devices() -> Vec<String> {
    let devices = std::fs::read_dir("/sys/class/net").expect("network devices");
    let names = devices.map(|device| device.expect("a device").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("smolvm")).collect()
}

/// One after the other: they count network devices.
#[test]
fn firecracker_runs_a_guest_on_a_network_device_of_its_own() {
    let Some((shared, folder)) = with_firecracker() else { return };
    let before = devices();
    let script = "cat /proc/cmdline; ip -4 -o address show dev eth0; exit 7";
    let ran = firecracker(shared, folder.path(), &["--", "sh", "-c", script]).expect_code(7);
    for words in ["smolvm.poweroff=reset", "inet 172.16.", ".2/30"] {
        assert!(ran.stdout.contains(words), "{ran}");
    }
    assert_eq!(devices(), before, "a network device was left behind");

    // A port of ours, by way of our own proxy; and kill -9, after which nobody but the guardian can clean up.
    let port = free_port();
    let mut command = firecracker_command(shared, folder.path());
    command.args(["-p", &format!("{port}:22"), "--", "sh", "-c", "echo up; sleep 1000"]).stdout(Stdio::piped());
    let mut running = Ended(command.spawn().expect("smolvm starts"));
    read_until(running.0.stdout.take().expect("stdout"), "up");
    wait_for_greeting(port);
    drop(running);
    let started = Instant::now();
    while devices() != before {
        assert!(started.elapsed() < PATIENCE, "a network device was left behind: {:?}", devices());
        std::thread::sleep(Duration::from_millis(50));
    }

    let refused = firecracker(shared, folder.path(), &["--share", ".:/mnt", "--", "true"]).expect_code(2);
    assert!(refused.stderr.contains("Firecracker cannot share folders with a guest"), "{refused}");
    let no_device = firecracker(shared, folder.path(), &["--tap", "smolvm-none", "--", "true"]).expect_code(3);
    assert!(no_device.stderr.contains("sudo ip tuntap add dev tap0"), "{no_device}");
    expect_untouched(shared);
}

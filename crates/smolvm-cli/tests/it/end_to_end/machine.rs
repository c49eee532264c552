//! A machine of the tests' own: QEMU on a disk that keeps what is written, started with boot arguments of one's choice.

use std::fmt::Write as _;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ran, ran};

#[cfg(target_arch = "aarch64")]
pub(crate) const QEMU: &str = "qemu-system-aarch64";
#[cfg(not(target_arch = "aarch64"))]
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What QEMU's user network gives to a guest.
pub(crate) const STATIC: &str = "ip=10.0.2.15::10.0.2.2:255.255.255.0:box:eth0:off:10.0.2.3";
/// Longer than any boot takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// An image's disk, copied so that it may be written on, and a key that its guests accept.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
    kernel: String,
    initrd: String,
    boot_args: String,
}

impl Disk {
    /// Of the image that a build's envelope describes.
    pub(crate) fn of(image: &Value) -> Self {
        let text = |name: &str| image[name].as_str().unwrap_or_else(|| panic!("{name}: {image}")).to_owned();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let disk = Self { folder, kernel: text("kernel"), initrd: text("initrd"), boot_args: text("boot_args") };
        ran(Command::new("cp").args(["--sparse=always", &text("rootfs")]).arg(disk.path())).expect_code(0);
        ran(Command::new("chmod").arg("0600").arg(disk.path())).expect_code(0);
        ran(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(disk.key())).expect_code(0);
        disk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// The private key that root's boot argument belongs to.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the disk larger, not what is on it.
    pub(crate) fn grow_to(&self, bytes: u64) {
        let file = std::fs::OpenOptions::new().write(true).open(self.path()).expect("the disk");
        file.set_len(bytes).expect("a larger disk");
    }

    /// The journal is empty and nothing is to be mended.
    #[track_caller]
    pub(crate) fn expect_clean(&self) {
        let header = ran(Command::new("/usr/sbin/dumpe2fs").arg("-h").arg(self.path())).expect_code(0).stdout;
        assert!(!header.contains("needs_recovery"), "the journal was not closed: {header}");
        assert!(header.contains("Filesystem state:         clean"), "{header}");
        let judged = ran(Command::new("/usr/sbin/e2fsck").args(["-f", "-n"]).arg(self.path()));
        assert_eq!(judged.code, Some(0), "{judged}");
    }

    /// Starts a machine with these further boot arguments.
    pub(crate) fn boot(&self, arguments: &[&str]) -> Machine<'_> {
        let public = std::fs::read(self.key().with_extension("pub")).expect("the public key");
        let key = ran(Command::new("base64").arg("-w0").arg(self.key().with_extension("pub"))).expect_code(0).stdout;
        assert!(public.starts_with(b"ssh-ed25519 "));
        let port = free_port();
        let console = self.folder.path().join("console");
        std::fs::write(&console, "").expect("the console's log");
        let append = format!("{} smolvm.authorized_key_b64={key} {}", self.boot_args, arguments.join(" "));
        let mut qemu = Command::new(QEMU);
        #[cfg(target_arch = "aarch64")]
        qemu.args(["-machine", "virt", "-cpu", "max"]);
        #[cfg(not(target_arch = "aarch64"))]
        qemu.args(["-machine", "q35", "-cpu", "max,la57=off"]);
        qemu.args(["-m", "512", "-display", "none", "-no-reboot", "-nodefaults", "-no-user-config"]);
        qemu.args(["-accel", "tcg,thread=multi", "-smp", "2"]);
        qemu.args(["-serial", &format!("file:{}", console.display()), "-device", "virtio-rng-pci"]);
        qemu.args(["-kernel", &self.kernel, "-initrd", &self.initrd, "-append", &append]);
        qemu.args(["-drive", &format!("file={},format=raw,if=virtio", self.path().display())]);
        qemu.args(["-netdev", &format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22")]);
        qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        let qemu = qemu.stdin(Stdio::null()).spawn().expect("QEMU starts");
        Machine { disk: self, qemu, console, port }
    }
}

/// A port that is free at this moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A running guest. Dropping it ends it.
pub(crate) struct Machine<'a> {
    disk: &'a Disk,
    qemu: Child,
    console: PathBuf,
    port: u16,
}

impl Machine<'_> {
    /// What the guest has written on its console.
    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.console).expect("the console's log")).replace('\r', "")
    }

    /// Waits until these words stand on the console.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) {
        let started = Instant::now();
        while !self.console().contains(words) {
            let ended = self.qemu.try_wait().expect("QEMU is asked");
            assert!(ended.is_none(), "it ended before it said {words:?}:\n{}", self.console());
            assert!(started.elapsed() < PATIENCE, "it never said {words:?}:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a server of SSH greets. QEMU accepts every connection by itself.
    #[track_caller]
    pub(crate) fn wait_for_ssh(&mut self) {
        self.wait_for("SMOLVM_TS stage=init-complete");
        let started = Instant::now();
        let greeted = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting)?;
            std::io::Result::Ok(&greeting == b"SSH-")
        };
        while !matches!(greeted(), Ok(true)) {
            assert!(started.elapsed() < PATIENCE, "nobody greets:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the guest has powered itself off.
    #[track_caller]
    pub(crate) fn wait_for_end(mut self) -> String {
        let started = Instant::now();
        loop {
            if let Some(status) = self.qemu.try_wait().expect("QEMU is asked") {
                assert!(ExitStatus::success(&status), "{status}:\n{}", self.console());
                return self.console();
            }
            assert!(started.elapsed() < PATIENCE, "it does not power off:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A client of OpenSSH that knows nothing but where the guest is.
    fn client(&self, program: &str) -> Command {
        let mut client = Command::new(program);
        client.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        client.args(["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
        client.args(["-o", "KexAlgorithms=curve25519-sha256", "-o", "ConnectTimeout=60"]);
        client.args(["-o", &format!("Port={}", self.port)]);
        client
    }

    /// Runs a line in the guest as this user, by key.
    #[track_caller]
    pub(crate) fn by_key(&self, user: &str, key: &Path, line: &str) -> Ran {
        let mut client = self.client("ssh");
        client.args(["-o", "BatchMode=yes", "-i"]).arg(key).arg(format!("{user}@127.0.0.1")).arg(line);
        ran(&mut client)
    }

    /// Runs a script in the guest as root. It has to end well.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let ran = self.by_key("root", &self.disk.key(), script);
        assert_eq!(ran.code, Some(0), "{script}\n{ran}\n{}", self.console());
        ran.stdout
    }

    /// Runs a line in the guest as this user, by a password and nothing else.
    pub(crate) fn by_password(&self, user: &str, password: &str, line: &str) -> Ran {
        use std::os::unix::fs::PermissionsExt;
        let askpass = self.disk.folder().join("askpass");
        std::fs::write(&askpass, format!("#!/bin/sh\necho {password}\n")).expect("a program that says the password");
        std::fs::set_permissions(&askpass, PermissionsExt::from_mode(0o755)).expect("it can be executed");
        let mut client = self.client("ssh");
        client.args(["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]);
        client.arg(format!("{user}@127.0.0.1")).arg(line);
        client.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force");
        ran(&mut client)
    }

    /// Copies a file out of the guest.
    pub(crate) fn fetch(&self, from: &str, to: &Path) -> Ran {
        let batch = self.disk.folder().join("batch");
        std::fs::write(&batch, format!("get {from} {}\n", to.display())).expect("sftp's commands");
        let mut client = self.client("sftp");
        client.arg("-i").arg(self.disk.key()).arg("-b").arg(&batch).arg("root@127.0.0.1");
        ran(&mut client)
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A script for the guest that waits, for as long as a test may take, until a condition holds.
pub(crate) fn until(condition: &str) -> String {
    let mut script = String::new();
    write!(
        script,
        "n=0; until {condition}; do n=$((n + 1)); [ $n -lt 300 ] || {{ echo 'never: '; break; }}; sleep 0.2; done; "
    )
    .expect("text");
    script
}

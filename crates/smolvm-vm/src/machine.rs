//! A booted image, reachable over SSH.

use std::ffi::OsStr;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use smolvm_manifest::Arch;
use tempfile::TempDir;

use crate::accelerator::Accelerator;
use crate::console::Console;
use crate::disk::{Disk, KeptDisk};
use crate::error::VmError;
use crate::forwarding::check_free;
use crate::guardian::Guardian;
use crate::hardware::{Forward, Hardware, Share};
use crate::launch::{Beside, Launch};
use crate::ssh::{ConnectError, Connection, greets, make_key, spawn_error};

/// How often another port is tried when somebody else was quicker to take the one that was free.
const PORT_ATTEMPTS: usize = 5;
/// How long a guest may take to power off. Its init gives programs 5 s to end.
const POWER_OFF_TIME: Duration = Duration::from_secs(15);

/// What boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmImage {
    /// The kernel, in a format that the virtual machine monitor boots.
    pub kernel: PathBuf,
    /// The initial RAM disk, where the kernel needs one.
    pub initrd: Option<PathBuf>,
    /// The ext4 root file system. It is only read.
    pub rootfs: PathBuf,
    /// The image's architecture.
    pub arch: Arch,
    /// The kernel command line for that monitor, as [`boot_args`](crate::boot_args) makes it.
    pub boot_args: String,
    /// Whether the image has SSH (not `ssh: false`).
    pub ssh: bool,
}

/// What runs the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hypervisor {
    /// QEMU, with a user network: it takes no rights.
    Qemu,
    /// Firecracker.
    Firecracker {
        /// The TAP device for the guest, which has an IPv4 address. Without one a device is made, which takes root.
        tap: Option<String>,
    },
}

/// How to boot it.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// What boots, with kernel and boot arguments for the hypervisor.
    pub image: VmImage,
    /// What runs it.
    pub hypervisor: Hypervisor,
    /// On what.
    pub hardware: Hardware,
    /// Ports of this machine that lead to the guest's.
    pub forwards: Vec<Forward>,
    /// Folders of this machine that the guest sees.
    pub shares: Vec<Share>,
    /// What becomes of what the guest writes.
    pub disk: Disk,
    /// A folder for the temporary folder of this boot, with room for what the guest writes.
    pub scratch: PathBuf,
    /// Where the serial console is written. It is kept, for errors name it.
    pub console_log: PathBuf,
    /// How long SSH may take to answer.
    pub boot_time: Duration,
}

impl MachineOptions {
    /// A throwaway guest under QEMU with 1 GiB and two processors, which has two minutes to answer.
    pub fn new(image: VmImage, scratch: impl Into<PathBuf>, console_log: impl Into<PathBuf>) -> Self {
        Self {
            image,
            hypervisor: Hypervisor::Qemu,
            hardware: Hardware { memory_mib: 1024, cpus: 2 },
            forwards: Vec::new(),
            shares: Vec::new(),
            disk: Disk::Throwaway,
            scratch: scratch.into(),
            console_log: console_log.into(),
            boot_time: Duration::from_mins(2),
        }
    }
}

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// The machine starts.
    Booting {
        /// How the guest is run.
        accelerator: Accelerator,
    },
    /// The guest's init reached a stage.
    Milestone {
        /// The stage.
        stage: String,
    },
    /// A stage of the guest's init failed, and the boot went on.
    StageFailed {
        /// The stage and why.
        reason: String,
    },
    /// The kept disk was copied from another image, or another build of this one.
    OtherDisk,
    /// A line of the guest's console.
    Console {
        /// Without control characters.
        line: String,
    },
    /// Commands can be run.
    Ready {
        /// Since the machine was started.
        after: Duration,
    },
    /// The guest is off.
    PoweredOff(PowerOff),
}

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOff {
    /// Its init stopped everything and powered off.
    Clean,
    /// It did not do so in time, and was killed.
    Killed,
}

/// A booted image. Dropping it kills the guest and removes what it wrote, all but the console's log and a kept disk.
#[derive(Debug)]
pub struct Machine {
    // In the order in which they are dropped.
    connection: Connection,
    vmm: Guardian,
    console: Console,
    _beside: Beside,
    _kept: Option<KeptDisk>,
    _folder: TempDir,
}

/// Whom a machine tells what happens.
pub(crate) type Events<'a> = &'a (dyn Fn(RunEvent) + Send + Sync);

impl Machine {
    /// Boots an image, logs in, and mounts shared folders.
    pub async fn boot(options: &MachineOptions, events: Events<'_>) -> Result<Self, VmError> {
        if !options.image.ssh {
            return Err(VmError::NoSsh);
        }
        if let Some(share) = options.shares.iter().find(|share| !share.folder.is_dir()) {
            return Err(VmError::ShareMissing { folder: share.folder.clone() });
        }
        check_free(&options.forwards)?;
        let kept = match &options.disk {
            Disk::Kept(file) => Some(KeptDisk::open(file, &options.image.rootfs)?),
            Disk::Throwaway => None,
        };
        if kept.as_ref().is_some_and(|disk| disk.of_another_image) {
            events(RunEvent::OtherDisk);
        }
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&options.scratch)
            .map_err(VmError::io("make a temporary folder for the guest"))?;
        let key = make_key(folder.path())?;
        for _ in 0..PORT_ATTEMPTS {
            let launch = Launch::prepare(options, folder.path(), kept.as_ref(), &key).await?;
            let Some(started) = start(options, launch, folder.path(), events).await? else { continue };
            let Started { vmm, connection, console, beside } = started;
            let machine = Self { connection, vmm, console, _beside: beside, _kept: kept, _folder: folder };
            for (number, share) in options.shares.iter().enumerate() {
                machine.mount(number, share).await?;
            }
            return Ok(machine);
        }
        Err(VmError::io("find a free port on the loopback")(std::io::ErrorKind::AddrInUse.into()))
    }

    /// Mounts a shared folder in the guest.
    async fn mount(&self, number: usize, share: &Share) -> Result<(), VmError> {
        /// Of the script, where the kernel has no 9p.
        const NO_9P: i32 = 97;
        // The protocol that has Linux's file types, in messages that are worth an exit of the guest.
        const SCRIPT: &str = "modprobe -qa 9p 9pnet_virtio 2>/dev/null; grep -qw 9p /proc/filesystems || exit 97
            mkdir -p -- \"$1\" && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,\"$3\" -- \"$2\" \"$1\"";
        let mode = if share.read_only { "ro" } else { "rw" };
        let words = ["sh", "-c", SCRIPT, "sh", &share.target, &Share::tag(number), mode];
        let ran = self.command(Some(&words)).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let ran = ran.map_err(spawn_error)?;
        match ran.status.code() {
            Some(0) => Ok(()),
            Some(NO_9P) => Err(VmError::KernelWithout9p { folder: share.folder.clone() }),
            _ => Err(VmError::ShareFailed {
                folder: share.folder.clone(),
                target: share.target.clone(),
                output: String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
            }),
        }
    }

    /// An SSH client that runs these words in the guest as root: set its standard streams and spawn it. `None` is a login
    /// shell on a terminal.
    pub fn command<S: AsRef<OsStr>>(&self, words: Option<&[S]>) -> tokio::process::Command {
        self.connection.command(words)
    }

    /// Runs a command (or a shell) on this process's standard streams and returns its exit code; of a command that a
    /// signal ended, 128 and the signal's number.
    pub async fn execute<S: AsRef<OsStr>>(&mut self, words: Option<&[S]>, events: Events<'_>) -> Result<i32, VmError> {
        let mut client = self.command(words).kill_on_drop(true).spawn().map_err(spawn_error)?;
        let status = tokio::select! {
            status = client.wait() => status,
            error = follow(&mut self.console, events) => return Err(error),
        };
        match status.map_err(VmError::io("wait for the command"))?.code() {
            // 255 is what the client says when the connection broke, but commands may say it too.
            Some(255) if !self.connection.is_alive().await => Err(self.lost().await),
            Some(code) => Ok(code),
            None => Err(self.lost().await),
        }
    }

    /// Why the connection is gone.
    async fn lost(&mut self) -> VmError {
        /// A guest that powers itself off closes the connection before it is off.
        const PATIENCE: Duration = Duration::from_secs(3);
        match tokio::time::timeout(PATIENCE, self.vmm.wait()).await {
            Ok(_) => VmError::ConnectionLost { console: self.console.end() },
            Err(_) => VmError::ConnectionBroke { console: self.console.end() },
        }
    }

    /// Waits until the guest is off.
    pub async fn wait(&mut self, events: Events<'_>) -> Result<(), VmError> {
        tokio::select! {
            status = self.vmm.wait() => status.map(drop).map_err(VmError::io("wait for the guest"))?,
            error = follow(&mut self.console, events) => return Err(error),
        }
        tell(&mut self.console, events)
    }

    /// Asks the guest's init to power off, and kills the guest if that takes too long.
    pub async fn power_off(mut self, events: Events<'_>) -> Result<PowerOff, VmError> {
        let asked = async {
            let _ = self
                .connection
                .command(Some(&["kill", "-s", "PWR", "1"]))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .status()
                .await;
            self.vmm.wait().await
        };
        let ended = tokio::select! {
            status = asked => status.is_ok_and(|status| status.success()),
            error = follow(&mut self.console, events) => return Err(error),
            () = tokio::time::sleep(POWER_OFF_TIME) => false,
        };
        tell(&mut self.console, events)?;
        if ended {
            return Ok(PowerOff::Clean);
        }
        self.vmm.kill().await.map_err(VmError::io("end the guest"))?;
        Ok(PowerOff::Killed)
    }
}

/// Tells of the console for ever, or until it cannot be read.
async fn follow(console: &mut Console, events: Events<'_>) -> VmError {
    loop {
        if let Err(error) = tell(console, events) {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Tells of what the guest wrote since the last time.
fn tell(console: &mut Console, events: Events<'_>) -> Result<(), VmError> {
    let lines = console.new_lines().map_err(VmError::io("read the console's log"))?;
    for line in lines {
        events(RunEvent::Console { line });
    }
    Ok(())
}

/// A guest that let us in.
struct Started {
    vmm: Guardian,
    connection: Connection,
    console: Console,
    beside: Beside,
}

/// Starts the machine and waits for SSH. `None` where somebody else took the port between our look and QEMU's.
async fn start(
    options: &MachineOptions,
    launch: Launch,
    folder: &Path,
    events: Events<'_>,
) -> Result<Option<Started>, VmError> {
    events(RunEvent::Booting { accelerator: launch.accelerator });
    // An older boot's log must not be taken for this one's.
    std::fs::write(&options.console_log, "").map_err(VmError::io("write the console's log"))?;
    let failed = |source| VmError::Io { action: format!("start `{}`", launch.program), source };
    let output = std::fs::File::create(&launch.output).map_err(failed)?;
    let device = launch.beside.tap.as_ref().map(|tap| &*tap.name);
    let started = Instant::now();
    let mut vmm =
        Guardian::start(launch.program.as_ref(), &launch.arguments, folder, device, output).map_err(failed)?;
    let mut console = Console::new(options.console_log.clone());

    let connected = tokio::select! {
        status = vmm.wait() => Err(NotReady::Ended(status.map_err(VmError::io("wait for the guest"))?)),
        connected = connect(folder, launch.server, &mut console, events) => connected,
        () = tokio::time::sleep(options.boot_time) => Err(NotReady::TimeOut),
    };
    let error = match connected {
        Ok(connection) => {
            events(RunEvent::Ready { after: started.elapsed() });
            return Ok(Some(Started { vmm, connection, console, beside: launch.beside }));
        }
        Err(NotReady::Sshd) => VmError::SshdFailed { console: console.end() },
        Err(NotReady::Refused(output)) => VmError::SshRefused { output, console: console.end() },
        Err(NotReady::Other(error)) => error,
        Err(NotReady::TimeOut) => VmError::NoAnswer { waited: options.boot_time, console: console.end() },
        Err(NotReady::Ended(status)) => {
            tell(&mut console, events)?;
            let output = std::fs::read_to_string(&launch.output).unwrap_or_default();
            if output.contains("host forwarding rule") {
                return Ok(None);
            }
            // 127 is the shell's word for a program that it cannot find.
            if status.code() == Some(127) {
                launch.missing(options)
            } else if status.success() {
                VmError::GuestStopped { console: console.end() }
            } else {
                let output = output.trim().to_owned();
                VmError::VmmFailed { program: launch.program, status: status.to_string(), output }
            }
        }
    };
    Err(error)
}

/// Why there is no guest to log in to.
enum NotReady {
    Ended(std::process::ExitStatus),
    TimeOut,
    /// The guest's init says that sshd does not run.
    Sshd,
    Refused(String),
    Other(VmError),
}

/// Waits until SSH answers, and logs in.
async fn connect(
    folder: &Path,
    server: SocketAddrV4,
    console: &mut Console,
    events: Events<'_>,
) -> Result<Connection, NotReady> {
    // Before the guest says that sshd was started, a look is taken now and then all the same: its console may be silent.
    // Each look costs the guest a process.
    const BLIND_LOOK: Duration = Duration::from_millis(500);
    const PAUSE: Duration = Duration::from_millis(10);
    let mut announced = false;
    let mut last_look = Instant::now();
    loop {
        let lines = console.new_lines().map_err(VmError::io("read the console's log"));
        for line in lines.map_err(NotReady::Other)? {
            events(RunEvent::Console { line: line.clone() });
            // The kernel may have written on the same line.
            if let Some((_, reason)) = line.split_once("SMOLVM_FAIL stage=") {
                events(RunEvent::StageFailed { reason: reason.to_owned() });
                if reason.starts_with("sshd ") {
                    return Err(NotReady::Sshd);
                }
            } else if let Some((_, stage)) = line.split_once("SMOLVM_TS stage=") {
                let stage = stage.split(' ').next().unwrap_or_default();
                announced |= stage == "sshd-start";
                events(RunEvent::Milestone { stage: stage.to_owned() });
            }
        }
        let mut present = announced;
        if !announced && last_look.elapsed() >= BLIND_LOOK {
            present = greets(server, BLIND_LOOK).await;
            last_look = Instant::now();
        }
        if present {
            match Connection::open(folder, server).await {
                Ok(connection) => return Ok(connection),
                Err(ConnectError::Refused(words)) => return Err(NotReady::Refused(words)),
                Err(ConnectError::Other(error)) => return Err(NotReady::Other(error)),
                Err(ConnectError::Absent(words)) => tracing::debug!(words, "no connection yet"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

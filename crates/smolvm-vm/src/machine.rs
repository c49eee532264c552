//! A booted image, reachable over SSH.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use smolvm_manifest::Arch;
use tempfile::TempDir;

use crate::accelerator::Accelerator;
use crate::console::Console;
use crate::error::VmError;
use crate::guardian::Guardian;
use crate::qemu::{CommandLine, Flavour};
use crate::ssh::{ConnectError, Connection, greets, make_key, spawn_error};

/// What QEMU's user network gives a guest: address, gateway, netmask, device, name server.
const NETWORK: &str = "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off:10.0.2.3";
/// How often another port is tried when somebody else was quicker to take the one that was free.
const PORT_ATTEMPTS: usize = 5;
/// How long a guest may take to power off. Its init gives programs 5 s to end.
const POWER_OFF_TIME: Duration = Duration::from_secs(15);

/// What boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmImage {
    /// The kernel: bzImage or Image.
    pub kernel: PathBuf,
    /// The initial RAM disk, where the kernel needs one.
    pub initrd: Option<PathBuf>,
    /// The ext4 root file system. It is only read.
    pub rootfs: PathBuf,
    /// The image's architecture.
    pub arch: Arch,
    /// The kernel command line for QEMU, as [`boot_args`](crate::boot_args) makes it.
    pub boot_args: String,
    /// Whether the image has SSH (not `ssh: false`).
    pub ssh: bool,
}

/// How to boot it.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// What boots.
    pub image: VmImage,
    /// The guest's memory.
    pub memory_mib: u32,
    /// The guest's processors.
    pub cpus: u32,
    /// A folder for the temporary folder of this boot, with room for what the guest writes.
    pub scratch: PathBuf,
    /// Where the serial console is written. It is kept, for errors name it.
    pub console_log: PathBuf,
    /// How long SSH may take to answer.
    pub boot_time: Duration,
}

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// QEMU starts.
    Booting {
        /// How it runs the guest.
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
    /// Commands can be run.
    Ready {
        /// Since QEMU was started.
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
    /// It did not do so in time, and QEMU was killed.
    Killed,
}

/// A booted image. Dropping it kills QEMU and removes what it wrote, all but the console's log.
#[derive(Debug)]
pub struct Machine {
    // In the order in which they are dropped.
    connection: Connection,
    qemu: Guardian,
    console: Console,
    _folder: TempDir,
}

impl Machine {
    /// Boots an image with a throwaway overlay and logs in.
    pub async fn boot(options: &MachineOptions, events: &(dyn Fn(RunEvent) + Send + Sync)) -> Result<Self, VmError> {
        if !options.image.ssh {
            return Err(VmError::NoSsh);
        }
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&options.scratch)
            .map_err(VmError::io("make a temporary folder for the guest"))?;
        let key = make_key(folder.path())?;
        let boot_args = format!("{} {NETWORK} smolvm.authorized_key_b64={key}", options.image.boot_args);
        let limit = Flavour::of(options.image.arch).boot_args_limit;
        if boot_args.len() > limit {
            return Err(VmError::BootArgsTooLong { length: boot_args.len(), limit });
        }
        let accelerator = Accelerator::probe(options.image.arch, folder.path()).await;
        for _ in 0..PORT_ATTEMPTS {
            events(RunEvent::Booting { accelerator });
            let started = start(options, folder.path(), &boot_args, accelerator, events).await?;
            if let Some(Started { qemu, connection, console }) = started {
                return Ok(Self { connection, qemu, console, _folder: folder });
            }
        }
        Err(VmError::io("find a free port on the loopback")(std::io::ErrorKind::AddrInUse.into()))
    }

    /// An SSH client that runs these words in the guest as root: set its standard streams and spawn it. `None` is a login
    /// shell on a terminal.
    pub fn command<S: AsRef<OsStr>>(&self, words: Option<&[S]>) -> tokio::process::Command {
        self.connection.command(words)
    }

    /// Runs a command (or a shell) on this process's standard streams and returns its exit code; of a command that a
    /// signal ended, 128 and the signal's number.
    pub async fn execute<S: AsRef<OsStr>>(&mut self, words: Option<&[S]>) -> Result<i32, VmError> {
        let mut client = self.command(words).kill_on_drop(true).spawn().map_err(spawn_error)?;
        let status = client.wait().await.map_err(VmError::io("wait for the command"))?;
        match status.code() {
            // 255 is what the client says when the connection broke, but commands may say it too.
            Some(255) if !self.connection.is_alive().await => {
                Err(VmError::ConnectionLost { console: self.console.end() })
            }
            Some(code) => Ok(code),
            None => Err(VmError::ConnectionLost { console: self.console.end() }),
        }
    }

    /// Asks the guest's init to power off, and kills QEMU if that takes too long.
    pub async fn power_off(mut self) -> Result<PowerOff, VmError> {
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
            self.qemu.wait().await
        };
        match tokio::time::timeout(POWER_OFF_TIME, asked).await {
            Ok(Ok(status)) if status.success() => Ok(PowerOff::Clean),
            _ => {
                self.qemu.kill().await.map_err(VmError::io("end QEMU"))?;
                Ok(PowerOff::Killed)
            }
        }
    }
}

/// A guest that let us in.
struct Started {
    qemu: Guardian,
    connection: Connection,
    console: Console,
}

/// Starts QEMU and waits for SSH. `None` where somebody else took the port between our look and QEMU's.
async fn start(
    options: &MachineOptions,
    folder: &std::path::Path,
    boot_args: &str,
    accelerator: Accelerator,
    events: &(dyn Fn(RunEvent) + Send + Sync),
) -> Result<Option<Started>, VmError> {
    let flavour = Flavour::of(options.image.arch);
    let ssh_port = free_port()?;
    let arguments = CommandLine {
        image: &options.image,
        memory_mib: options.memory_mib,
        cpus: options.cpus,
        accelerator,
        boot_args,
        console_log: &options.console_log,
        ssh_port,
    }
    .arguments();
    // An older boot's log must not be taken for this one's.
    std::fs::write(&options.console_log, "").map_err(VmError::io("write the console's log"))?;
    let output_path = folder.join("qemu.log");
    let output = std::fs::File::create(&output_path).map_err(VmError::io("write QEMU's log"))?;
    let started = Instant::now();
    let mut qemu = Guardian::start(flavour.program.as_ref(), &arguments, folder, output)
        .map_err(VmError::io(format!("start `{}`", flavour.program)))?;
    let mut console = Console::new(options.console_log.clone());

    let connected = tokio::select! {
        status = qemu.wait() => Err(NotReady::Ended(status.map_err(VmError::io("wait for QEMU"))?)),
        connected = connect(folder, ssh_port, &mut console, events) => connected,
        () = tokio::time::sleep(options.boot_time) => Err(NotReady::TimeOut),
    };
    let error = match connected {
        Ok(connection) => {
            events(RunEvent::Ready { after: started.elapsed() });
            return Ok(Some(Started { qemu, connection, console }));
        }
        Err(NotReady::Sshd) => VmError::SshdFailed { console: console.end() },
        Err(NotReady::Refused(output)) => VmError::SshRefused { output, console: console.end() },
        Err(NotReady::Other(error)) => error,
        Err(NotReady::TimeOut) => VmError::NoAnswer { waited: options.boot_time, console: console.end() },
        Err(NotReady::Ended(status)) => {
            let output = std::fs::read_to_string(&output_path).unwrap_or_default();
            if output.contains("host forwarding rule") {
                return Ok(None);
            }
            // 127 is the shell's word for a program that it cannot find.
            if status.code() == Some(127) {
                flavour.missing()
            } else if status.success() {
                VmError::GuestStopped { console: console.end() }
            } else {
                VmError::QemuFailed { status: status.to_string(), output: output.trim().to_owned() }
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
    folder: &std::path::Path,
    port: u16,
    console: &mut Console,
    events: &(dyn Fn(RunEvent) + Send + Sync),
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
            present = greets(port, BLIND_LOOK).await;
            last_look = Instant::now();
        }
        if present {
            match Connection::open(folder, port).await {
                Ok(connection) => return Ok(connection),
                Err(ConnectError::Refused(words)) => return Err(NotReady::Refused(words)),
                Err(ConnectError::Other(error)) => return Err(NotReady::Other(error)),
                Err(ConnectError::Absent(words)) => tracing::debug!(words, "no connection yet"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A port that is free at this moment. QEMU binds it a little later, hence the attempts.
fn free_port() -> Result<u16, VmError> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(VmError::io("find a free port on the loopback"))
}

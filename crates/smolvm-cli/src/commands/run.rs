//! `smolvm run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use smolvm_store::Store;
use smolvm_vm::{Accelerator, Disk, Forward, Hypervisor, MachineOptions, PowerOff, RunEvent, Share, VmError, Work};

use super::{Hardware, Store as StoreArguments};
use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::terminal::Terminal;

/// Boot a throwaway copy of an image, and run a command in it or open a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with the exit code of the command. What the guest wrote is gone afterwards, unless --persist keeps it."
)]
pub(crate) struct Arguments {
    /// The image's name, or the beginning of its key
    image: String,

    /// The command and its words; a shell if there is none
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    store: StoreArguments,

    #[command(flatten)]
    hardware: Hardware,

    /// What boots it
    #[arg(long, value_enum, default_value_t)]
    vmm: Vmm,

    /// Firecracker's network device, one that has an IPv4 address; without it one is made, which takes root
    #[arg(long, value_name = "DEVICE")]
    tap: Option<String>,

    /// Forward a port of this machine (of 127.0.0.1, if no address is given) to one of the guest's
    #[arg(short, long, value_name = "[ADDRESS:]PORT:GUEST_PORT")]
    publish: Vec<Forward>,

    /// Share a folder with the guest, which takes a kernel with 9p
    #[arg(long, value_name = "FOLDER:GUEST_PATH[:ro]")]
    share: Vec<Share>,

    /// Keep what the guest writes in this file: a disk, copied from the image if it is not there
    #[arg(long, value_name = "FILE")]
    persist: Option<PathBuf>,

    /// Show the guest's console on stderr; without a command, run until the guest is off, or Ctrl-C
    #[arg(long)]
    console: bool,

    /// How many seconds the guest may take until SSH answers
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    boot_timeout: u64,

    /// Keep the guest's console in this file
    #[arg(long, value_name = "FILE")]
    console_log: Option<PathBuf>,

    /// Also say what the guest does while it boots
    #[arg(short, long)]
    verbose: bool,
}

impl Arguments {
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        // The image is held for as long as it runs, so that nobody removes it.
        let store = Store::open_existing(self.store.folder())?;
        let image = store.find(&self.image)?;
        let temporary = std::env::temp_dir();
        let console_log = match &self.console_log {
            Some(file) => file.clone(),
            None => temporary.join(format!("smolvm-console-{}.log", std::process::id())),
        };
        let hypervisor = match self.vmm {
            Vmm::Qemu => Hypervisor::Qemu,
            Vmm::Firecracker => Hypervisor::Firecracker { tap: self.tap.clone() },
        };
        let options = MachineOptions {
            image: smolvm_build::vm_image(&store, &image, self.vmm.into())?,
            hypervisor,
            hardware: (&self.hardware).into(),
            forwards: self.publish.clone(),
            shares: self.share.clone(),
            disk: self.persist.clone().map_or(Disk::Throwaway, Disk::Kept),
            scratch: temporary,
            console_log: console_log.clone(),
            boot_time: Duration::from_secs(self.boot_timeout),
        };
        let work = match &*self.command {
            [] if self.console => Work::Wait,
            [] => Work::Shell,
            command => Work::Command(command),
        };
        let screen = Screen::new(terminal, self.verbose, self.console);
        let stopping = || screen.keep("stopping; once more to stop at once");
        let events = |event| screen.show(&event);
        let ended = interrupt::run_to_its_end(stopping, |asked| async {
            let asked = async { drop(asked.await) };
            Ok(smolvm_vm::run(&options, work, asked, &events).await?)
        });
        screen.clear();
        let interrupted = ended.as_ref().is_err_and(|failure| failure.exit == Exit::Interrupted);
        if self.console_log.is_none() && (ended.is_ok() || interrupted) {
            // It is kept only for a report that names it.
            let _ = std::fs::remove_file(console_log);
        }
        Ok(Answer::code(u8::try_from(ended?).unwrap_or(Exit::Failed.code())))
    }
}

/// What can be started from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Vmm {
    #[default]
    Qemu,
    Firecracker,
}

impl From<Vmm> for smolvm_vm::Vmm {
    fn from(vmm: Vmm) -> Self {
        match vmm {
            Vmm::Qemu => Self::Qemu,
            Vmm::Firecracker => Self::Firecracker,
        }
    }
}

impl From<VmError> for Failure {
    fn from(error: VmError) -> Self {
        let exit = match &error {
            error if error.host_lacks_something() => Exit::Host,
            error if error.is_input_fault() => Exit::Input,
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

/// What is said while the guest boots: nothing but trouble, where nobody watches and nobody asked.
struct Screen {
    spinner: ProgressBar,
    verbose: bool,
    console: bool,
}

impl Screen {
    fn new(terminal: Terminal, verbose: bool, console: bool) -> Self {
        let spinner = if terminal.interactive { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { spinner, verbose, console }
    }

    fn show(&self, event: &RunEvent) {
        match event {
            RunEvent::Booting { accelerator } => {
                let how = match accelerator {
                    Accelerator::Kvm => "booting under KVM",
                    Accelerator::Tcg => "booting without KVM, emulated: this is slow",
                };
                self.spinner.enable_steady_tick(Duration::from_millis(100));
                self.spinner.set_message(how);
                self.detail(how);
            }
            RunEvent::Milestone { stage } => {
                self.spinner.set_message(format!("booting: {stage}"));
                self.detail(&format!("guest: {stage}"));
            }
            RunEvent::StageFailed { reason } => {
                self.keep(&format!("the guest says that a stage of its boot failed: {reason}"));
            }
            RunEvent::OtherDisk => self.keep(
                "the disk was made from another image, or another build of this one; its kernel modules may not fit",
            ),
            RunEvent::Console { line } => {
                if self.console {
                    self.keep(line);
                }
            }
            RunEvent::Ready { after } => {
                self.clear();
                self.detail(&format!("ready after {:.2} s", after.as_secs_f64()));
            }
            RunEvent::PoweredOff(PowerOff::Clean) => self.detail("powered off"),
            RunEvent::PoweredOff(PowerOff::Killed) => self.keep("the guest did not power off in time, and was ended"),
        }
    }

    fn detail(&self, line: &str) {
        if self.verbose {
            self.keep(line);
        }
    }

    fn keep(&self, line: &str) {
        self.spinner.suspend(|| crate::progress::line(line));
    }

    fn clear(&self) {
        self.spinner.finish_and_clear();
    }
}

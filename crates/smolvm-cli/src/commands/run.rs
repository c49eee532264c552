//! `smolvm run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use smolvm_store::{Image, Store};
use smolvm_vm::{Accelerator, MachineOptions, PowerOff, RunEvent, VmError, VmImage};

use super::Store as StoreArguments;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::terminal::Terminal;

/// Boot a throwaway copy of an image under QEMU, and run a command in it or open a shell
#[derive(Debug, Args)]
#[command(after_help = "Ends with the exit code of the command. What the guest wrote is gone afterwards.")]
pub(crate) struct Arguments {
    /// The image's name, or the beginning of its key
    image: String,

    /// The command and its words; a shell if there is none
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    store: StoreArguments,

    /// The guest's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    memory: u32,

    /// The guest's processors
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,

    /// How many seconds the guest may take until SSH answers
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    boot_timeout: u64,

    /// Keep the guest's console in this file
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,

    /// Also say what the guest does while it boots
    #[arg(short, long)]
    verbose: bool,
}

impl Arguments {
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        // The image is held for as long as it runs, so that nobody removes it.
        let image = Store::open_existing(self.store.folder())?.find(&self.image)?;
        let temporary = std::env::temp_dir();
        let console_log = match &self.console {
            Some(file) => file.clone(),
            None => temporary.join(format!("smolvm-console-{}.log", std::process::id())),
        };
        let options = MachineOptions {
            image: vm_image(&image),
            memory_mib: self.memory,
            cpus: self.cpus,
            scratch: temporary,
            console_log: console_log.clone(),
            boot_time: Duration::from_secs(self.boot_timeout),
        };
        let command = (!self.command.is_empty()).then_some(&*self.command);
        let screen = Screen::new(terminal, self.verbose);
        let stopping = || screen.keep("stopping; once more to stop at once");
        let events = |event| screen.show(&event);
        let ended = interrupt::run(stopping, async { Ok(smolvm_vm::run(&options, command, &events).await?) });
        screen.clear();
        let interrupted = ended.as_ref().is_err_and(|failure| failure.exit == Exit::Interrupted);
        if self.console.is_none() && (ended.is_ok() || interrupted) {
            // It is kept only for a report that names it.
            let _ = std::fs::remove_file(console_log);
        }
        Ok(Answer::code(u8::try_from(ended?).unwrap_or(Exit::Failed.code())))
    }
}

fn vm_image(image: &Image) -> VmImage {
    let record = image.record();
    VmImage {
        kernel: image.kernel(),
        initrd: image.initrd(),
        rootfs: image.rootfs(),
        arch: record.arch,
        boot_args: record.boot_args.clone(),
        ssh: record.ssh,
    }
}

impl From<VmError> for Failure {
    fn from(error: VmError) -> Self {
        let exit = match &error {
            error if error.host_lacks_something() => Exit::Host,
            VmError::NoSsh | VmError::BootArgsTooLong { .. } => Exit::Input,
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

/// What is said while the guest boots: nothing but trouble, where nobody watches and nobody asked.
struct Screen {
    spinner: ProgressBar,
    verbose: bool,
}

impl Screen {
    fn new(terminal: Terminal, verbose: bool) -> Self {
        let spinner = if terminal.interactive { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { spinner, verbose }
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

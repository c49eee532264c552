//! What is started so that a guest runs: a program, its arguments, and what has to be there beside it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};

use crate::accelerator::Accelerator;
use crate::boot_args::Vmm;
use crate::configuration::{Wish, firecracker};
use crate::disk::{KeptDisk, copy_disk};
use crate::error::VmError;
use crate::forwarding::Forwarding;
use crate::hardware::Forward;
use crate::machine::{Hypervisor, MachineOptions};
use crate::qemu::{CommandLine, Console, Flavour, NETWORK};
use crate::tap::Tap;

/// How long a kernel's command line may be (`COMMAND_LINE_SIZE` of x86 and arm64, with its end).
const BOOT_ARGS_LIMIT: usize = 2047;

/// How Firecracker is installed.
const FIRECRACKER_INSTALL: &str =
    "Releases: https://github.com/firecracker-microvm/firecracker/releases; put `firecracker` into a folder of PATH.";

/// A program to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<OsString>,
    /// Where the guest's SSH is reached.
    pub(crate) server: SocketAddrV4,
    /// What the program itself says goes there.
    pub(crate) output: PathBuf,
    pub(crate) accelerator: Accelerator,
    pub(crate) beside: Beside,
}

/// What has to last as long as the program.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) tap: Option<Tap>,
    _forwarding: Option<Forwarding>,
}

impl Launch {
    /// Prepares a start. `folder` is that of this boot, `key` the SSH key that the guest is told.
    pub(crate) async fn prepare(
        options: &MachineOptions,
        folder: &Path,
        kept: Option<&KeptDisk>,
        key: &str,
    ) -> Result<Self, VmError> {
        match &options.hypervisor {
            Hypervisor::Qemu => Self::qemu(options, folder, kept, key).await,
            Hypervisor::Firecracker { tap } => Self::firecracker(options, folder, kept, key, tap.as_deref()).await,
        }
    }

    async fn qemu(
        options: &MachineOptions,
        folder: &Path,
        kept: Option<&KeptDisk>,
        key: &str,
    ) -> Result<Self, VmError> {
        let boot_args = boot_args(options, NETWORK, key)?;
        let accelerator = Accelerator::probe(options.image.arch, folder).await;
        let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()?);
        let forwards: Vec<Forward> =
            [Forward { host: server, guest: 22 }].into_iter().chain(options.forwards.iter().copied()).collect();
        let arguments = CommandLine {
            image: &options.image,
            hardware: options.hardware,
            accelerator,
            boot_args: &boot_args,
            console: Console::File(&options.console_log),
            kept_disk: kept.map(|disk| &*disk.path),
            forwards: &forwards,
            shares: &options.shares,
        }
        .arguments();
        Ok(Self {
            program: Flavour::of(options.image.arch).program,
            arguments: arguments.into_iter().flatten().collect(),
            server,
            output: folder.join("qemu.log"),
            accelerator,
            beside: Beside::default(),
        })
    }

    async fn firecracker(
        options: &MachineOptions,
        folder: &Path,
        kept: Option<&KeptDisk>,
        key: &str,
        tap: Option<&str>,
    ) -> Result<Self, VmError> {
        /// `vcpu_count` of its API.
        const CPUS: u32 = 32;
        if options.hardware.cpus > CPUS {
            return Err(VmError::TooManyCpus { vmm: Vmm::Firecracker, limit: CPUS });
        }
        if !options.shares.is_empty() {
            return Err(VmError::NoShares { vmm: Vmm::Firecracker });
        }
        fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .map_err(|source| VmError::NoKvm { source })?;
        let tap = Tap::take(tap).await?;
        let mut image = options.image.clone();
        image.boot_args = boot_args(options, &tap.boot_argument(), key)?;
        let disk = if let Some(disk) = kept {
            disk.path.clone()
        } else {
            let copy = folder.join("disk");
            copy_disk(&image.rootfs, &copy).map_err(VmError::io("copy the root file system for Firecracker"))?;
            copy
        };
        let wish = Wish { vmm: Vmm::Firecracker, image: &image, hardware: options.hardware, disk: &disk };
        let config = firecracker::config(&wish, &tap.name, tap.guest)?;
        let file = folder.join("firecracker.json");
        fs_err::write(&file, config.to_string()).map_err(VmError::io("write Firecracker's configuration"))?;
        let forwarding = Forwarding::start(&options.forwards, tap.guest).await?;
        Ok(Self {
            program: "firecracker",
            arguments: vec!["--no-api".into(), "--config-file".into(), file.into()],
            server: SocketAddrV4::new(tap.guest, 22),
            // The guest's console is its standard output.
            output: options.console_log.clone(),
            accelerator: Accelerator::Kvm,
            beside: Beside { tap: Some(tap), _forwarding: Some(forwarding) },
        })
    }

    /// The program is not there.
    pub(crate) fn missing(&self, options: &MachineOptions) -> VmError {
        match options.hypervisor {
            Hypervisor::Qemu => Flavour::of(options.image.arch).missing(),
            Hypervisor::Firecracker { .. } => {
                VmError::VmmMissing { program: self.program, install: FIRECRACKER_INSTALL }
            }
        }
    }
}

fn boot_args(options: &MachineOptions, network: &str, key: &str) -> Result<String, VmError> {
    let boot_args = format!("{} {network} smolvm.authorized_key_b64={key}", options.image.boot_args);
    if boot_args.len() > BOOT_ARGS_LIMIT {
        return Err(VmError::BootArgsTooLong { length: boot_args.len(), limit: BOOT_ARGS_LIMIT });
    }
    Ok(boot_args)
}

/// A port that is free at this moment. QEMU binds it a little later, hence the attempts.
fn free_port() -> Result<u16, VmError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(VmError::io("find a free port on the loopback"))
}

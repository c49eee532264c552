//! Whether KVM works here, found by trying it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use smolvm_manifest::Arch;
use tokio::process::Command;

use crate::qemu::Flavour;

/// A machine with KVM needs some 0.1 s for the probe; one where KVM hangs must not hold up the boot.
const PROBE_TIME: Duration = Duration::from_secs(3);

/// How QEMU runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// By the processor itself.
    Kvm,
    /// By translating them, which is some ten times slower.
    Tcg,
}

impl Accelerator {
    /// The value of QEMU's `-accel`.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// KVM if a guest really runs under it, else TCG.
    ///
    /// That `/dev/kvm` can be opened, or that QEMU starts with it, proves nothing: hosts that are virtual machines
    /// themselves fail when the first processor is set up or runs. So a firmware of three instructions is run, with the
    /// processor model that the guest will get, and must end QEMU with a status that only it can produce.
    pub(crate) async fn probe(arch: Arch, folder: &Path) -> Self {
        if !is_host(arch) || !Path::new("/dev/kvm").exists() {
            return Self::Tcg;
        }
        if runs_guests(arch, Self::Kvm, folder).await { Self::Kvm } else { Self::Tcg }
    }
}

fn is_host(arch: Arch) -> bool {
    match arch {
        Arch::Amd64 => cfg!(target_arch = "x86_64"),
        Arch::Arm64 => cfg!(target_arch = "aarch64"),
    }
}

/// Runs the probe under `accelerator`. Everything that goes wrong means no.
async fn runs_guests(arch: Arch, accelerator: Accelerator, folder: &Path) -> bool {
    let probe = Probe::of(arch);
    let firmware = folder.join("probe.bin");
    if fs_err::write(&firmware, probe.firmware).is_err() {
        return false;
    }
    let flavour = Flavour::of(arch);
    let mut command = Command::new(flavour.program);
    command
        .args(["-machine", flavour.machine, "-accel", accelerator.option(), "-cpu", flavour.cpu(accelerator)])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-m", "64"])
        .args(probe.arguments)
        .arg("-bios")
        .arg(&firmware)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let status = tokio::time::timeout(PROBE_TIME, command.status()).await;
    tracing::debug!(?accelerator, ?status, "probe");
    matches!(status, Ok(Ok(status)) if status.code() == Some(probe.status))
}

/// A guest that does nothing but end QEMU with a status of its own.
#[derive(Debug)]
struct Probe {
    firmware: Vec<u8>,
    arguments: &'static [&'static str],
    status: i32,
}

impl Probe {
    fn of(arch: Arch) -> Self {
        match arch {
            Arch::Amd64 => {
                // Where the first instruction of an x86 firmware of 64 KiB lies.
                const RESET: usize = 0xfff0;
                // mov al, 0x10; out 0xf4, al; hlt
                const CODE: [u8; 5] = [0xb0, 0x10, 0xe6, 0xf4, 0xf4];
                let mut firmware = vec![0; 64 * 1024];
                firmware[RESET..RESET + CODE.len()].copy_from_slice(&CODE);
                // The device ends QEMU with twice the value and one.
                Self { firmware, arguments: &["-device", "isa-debug-exit,iobase=0xf4,iosize=1"], status: 0x21 }
            }
            Arch::Arm64 => {
                // PSCI SYSTEM_OFF: mov w0, 0x84000008; hvc 0; b .
                const CODE: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
                Self { firmware: CODE.into_iter().flat_map(u32::to_le_bytes).collect(), arguments: &[], status: 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_probes_guest_ends_qemu_with_its_own_status() {
        let folder = tempfile::tempdir().unwrap();
        for arch in Arch::ALL {
            let program = Flavour::of(arch).program;
            if Command::new(program).arg("--version").output().await.is_err() {
                eprintln!("skipped for {arch}: {program} is not installed");
                continue;
            }
            assert!(runs_guests(arch, Accelerator::Tcg, folder.path()).await, "{arch}");
        }
    }

    #[tokio::test]
    async fn without_qemu_or_for_another_architecture_there_is_no_kvm() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = Arch::ALL.into_iter().find(|&arch| !is_host(arch)).unwrap();
        assert_eq!(Accelerator::probe(foreign, folder.path()).await, Accelerator::Tcg);
    }
}

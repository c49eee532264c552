use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use smolvm_manifest::Arch;
use smolvm_vm::{Hardware, Machine, MachineOptions, RunEvent, VmError, VmImage, Vmm, boot_args};

use crate::guest::{Then, kernel};

/// Where a test's guest lives. `None`, with a word on stderr, where there is no QEMU.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Option<Self> {
        let qemu = Command::new("qemu-system-x86_64").arg("--version").stdout(Stdio::null()).status();
        if qemu.is_err() {
            eprintln!("skipped: qemu-system-x86_64 is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("scratch")).unwrap();
        Some(Self { folder })
    }

    fn options(&self, kernel: &[u8]) -> MachineOptions {
        let path = |name: &str| self.folder.path().join(name);
        fs_err::write(path("kernel"), kernel).unwrap();
        fs_err::write(path("rootfs"), [0; 4096]).unwrap();
        let image = VmImage {
            kernel: path("kernel"),
            initrd: None,
            rootfs: path("rootfs"),
            arch: Arch::Amd64,
            boot_args: boot_args(Vmm::Qemu, Arch::Amd64, &[]),
            ssh: true,
        };
        let mut options = MachineOptions::new(image, path("scratch"), path("console.log"));
        options.hardware = Hardware { memory_mib: 64, cpus: 1 };
        options.boot_time = Duration::from_secs(30);
        options
    }

    /// What boots have left behind: files, and processes that name this folder.
    fn leftovers(&self) -> Vec<String> {
        let files = fs_err::read_dir(self.folder.path().join("scratch")).unwrap();
        let mut found: Vec<String> = files.map(|file| file.unwrap().path().display().to_string()).collect();
        found.extend(processes_that_name(self.folder.path()));
        found
    }
}

fn processes_that_name(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder.to_str().unwrap()))
        .collect()
}

async fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > Duration::from_secs(20) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

async fn boot_error(options: &MachineOptions) -> VmError {
    Machine::boot(options, &|_| ()).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_guest_without_ssh_is_given_up_after_its_time_and_nothing_is_left() {
    let Some(place) = Place::new() else { return };
    let mut options = place.options(&kernel("first line\nlast line\n", Then::Hang));
    options.boot_time = Duration::from_secs(2);
    let error = boot_error(&options).await;
    let VmError::NoAnswer { console, .. } = &error else { panic!("{error:?}") };
    assert_eq!(console.lines.last().map(String::as_str), Some("last line"));
    assert!(error.to_string().contains(options.console_log.to_str().unwrap()), "{error}");
    assert!(eventually(|| place.leftovers().is_empty()).await, "{:?}", place.leftovers());
    assert!(options.console_log.exists(), "the log that the error names is kept");
}

#[tokio::test]
async fn a_guest_that_resets_is_noticed_at_once() {
    let Some(place) = Place::new() else { return };
    let options = place.options(&kernel("Kernel panic - not syncing: no init\n", Then::Reset));
    let start = Instant::now();
    let error = boot_error(&options).await;
    let VmError::GuestStopped { console } = &error else { panic!("{error:?}") };
    assert!(console.lines.iter().any(|line| line.contains("Kernel panic")), "{console}");
    assert!(start.elapsed() < options.boot_time);
    assert!(eventually(|| place.leftovers().is_empty()).await, "{:?}", place.leftovers());
}

#[tokio::test]
async fn stages_are_told_and_a_failed_sshd_ends_the_wait() {
    let Some(place) = Place::new() else { return };
    let text = "SMOLVM_TS stage=mounts-ready epoch_s=1 uptime_s=0.1\nSMOLVM_FAIL stage=network no eth0\n\
        SMOLVM_FAIL stage=sshd it ended\n";
    let options = place.options(&kernel(text, Then::Hang));
    let events = Mutex::new(Vec::new());
    let booted = Machine::boot(&options, &|event| events.lock().unwrap().push(event)).await.map(drop);
    assert!(matches!(booted, Err(VmError::SshdFailed { .. })), "{booted:?}");
    let mut events = events.into_inner().unwrap();
    events.retain(|event| !matches!(event, RunEvent::Console { .. }));
    assert!(matches!(events[0], RunEvent::Booting { .. }), "{events:?}");
    assert_eq!(events[1], RunEvent::Milestone { stage: "mounts-ready".to_owned() });
    assert_eq!(events[2], RunEvent::StageFailed { reason: "network no eth0".to_owned() });
}

#[tokio::test]
async fn a_dropped_boot_leaves_nothing() {
    let Some(place) = Place::new() else { return };
    let options = place.options(&kernel("here\n", Then::Hang));
    {
        let boot = Machine::boot(&options, &|_| ());
        tokio::pin!(boot);
        let log = options.console_log.clone();
        let wrote = eventually(|| fs_err::read_to_string(&log).is_ok_and(|text| text.contains("here")));
        tokio::select! {
            booted = &mut boot => panic!("{booted:?}"),
            wrote = wrote => assert!(wrote, "the guest never ran"),
        }
        assert!(!place.leftovers().is_empty(), "what runs is not found, so its absence would prove nothing");
    }
    assert!(eventually(|| place.leftovers().is_empty()).await, "{:?}", place.leftovers());
}

#[tokio::test]
async fn qemus_own_mistakes_are_shown() {
    let Some(place) = Place::new() else { return };
    let mut options = place.options(b"this is no kernel");
    options.image.rootfs = "/nonexistent/rootfs".into();
    let error = boot_error(&options).await;
    assert!(matches!(error, VmError::VmmFailed { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/rootfs"), "{error}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_qemu_starts() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { folder };
    fs_err::create_dir(place.folder.path().join("scratch")).unwrap();
    let mut options = place.options(b"");
    options.image.boot_args = "x".repeat(3000);
    assert!(matches!(boot_error(&options).await, VmError::BootArgsTooLong { limit: 2047, .. }));
    options.image.ssh = false;
    assert!(matches!(boot_error(&options).await, VmError::NoSsh));
    assert!(place.leftovers().is_empty());
}

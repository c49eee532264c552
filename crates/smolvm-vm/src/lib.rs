//! Boot arguments, running an image under QEMU or Firecracker, waiting for SSH; and what other virtual machine monitors are told.
//!
//! The store's files are never written on: QEMU gets the root file system with a throwaway overlay, the others a copy. A guest ends with
//! whoever started it, also when that process is killed (`src/guardian.rs`).

mod accelerator;
mod boot_args;
mod configuration;
mod console;
mod disk;
mod error;
mod forwarding;
mod guardian;
mod hardware;
mod launch;
mod machine;
mod qemu;
mod run;
mod shell;
mod ssh;
mod tap;

pub use accelerator::Accelerator;
pub use boot_args::{Vmm, boot_args};
pub use configuration::{Configuration, Text, Wish};
pub use disk::{Disk, copy_disk};
pub use error::{ConsoleEnd, VmError};
pub use hardware::{Forward, Hardware, Share};
pub use machine::{Hypervisor, Machine, MachineOptions, PowerOff, RunEvent, VmImage};
pub use run::{Work, run};

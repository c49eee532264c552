//! Boot arguments, running an image under QEMU, waiting for SSH.
//!
//! The store's files are never written on: QEMU gets the root file system with a throwaway overlay. QEMU ends with whoever
//! started it, also when that process is killed (`src/guardian.rs`).

mod accelerator;
mod boot_args;
mod console;
mod error;
mod guardian;
mod machine;
mod qemu;
mod run;
mod ssh;

pub use accelerator::Accelerator;
pub use boot_args::{Vmm, boot_args};
pub use error::{ConsoleEnd, VmError};
pub use machine::{Machine, MachineOptions, PowerOff, RunEvent, VmImage};
pub use run::run;

//! `smolvm run`.

use std::ffi::OsString;

use crate::error::VmError;
use crate::machine::{Machine, MachineOptions, RunEvent};

/// Boots an image, runs a command in it (or a shell) on this process's standard streams, powers it off, and returns the
/// command's exit code. What the guest wrote is gone afterwards.
///
/// Dropping the future kills QEMU and removes the temporary folder; so does the end of this process, whatever ends it.
pub async fn run(
    options: &MachineOptions,
    command: Option<&[OsString]>,
    events: &(dyn Fn(RunEvent) + Send + Sync),
) -> Result<i32, VmError> {
    let mut machine = Machine::boot(options, events).await?;
    let code = machine.execute(command).await?;
    events(RunEvent::PoweredOff(machine.power_off().await?));
    Ok(code)
}

//! `smolvm run`.

use std::ffi::OsString;

use crate::disk::Disk;
use crate::error::VmError;
use crate::machine::{Events, Machine, MachineOptions, RunEvent};

/// What is done in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work<'a> {
    /// A command, on this process's standard streams.
    Command(&'a [OsString]),
    /// A login shell on this process's terminal.
    Shell,
    /// Nothing: it runs until it is off.
    Wait,
}

/// Boots an image, does the work in it, powers it off, and returns the command's exit code; `None` if `stop` came first.
///
/// Dropping the future kills the guest and removes what it wrote, all but a kept disk; so does the end of this process, whatever ends it.
/// `stop` is gentler with a guest whose disk is kept: it is powered off.
pub async fn run(
    options: &MachineOptions,
    work: Work<'_>,
    stop: impl Future<Output = ()>,
    events: Events<'_>,
) -> Result<Option<i32>, VmError> {
    tokio::pin!(stop);
    let mut machine = tokio::select! {
        biased;
        machine = Machine::boot(options, events) => machine?,
        () = &mut stop => return Ok(None),
    };
    let done = async {
        match work {
            Work::Command(words) => machine.execute(Some(words), events).await.map(Some),
            Work::Shell => machine.execute(None::<&[OsString]>, events).await.map(Some),
            Work::Wait => machine.wait(events).await.map(|()| None),
        }
    };
    let code = tokio::select! {
        biased;
        code = done => match code? {
            Some(code) => Some(code),
            None => return Ok(Some(0)),
        },
        () = stop => None,
    };
    if code.is_some() || matches!(options.disk, Disk::Kept(_)) {
        events(RunEvent::PoweredOff(machine.power_off(events).await?));
    }
    Ok(code)
}

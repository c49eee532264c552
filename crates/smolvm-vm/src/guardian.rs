//! A process that ends with the one that started it.
//!
//! A parent-death signal needs `unsafe` (`pre_exec`) and exists on Linux alone; QEMU's own `-run-with exit-with-parent`
//! is younger than the QEMU of current distributions. What works everywhere is a pipe: a small shell starts QEMU and
//! reads from the pipe, whose other end closes when smolvm ends in whatever way, `kill -9` included. Then it kills QEMU
//! and removes the temporary folder.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin, Command};

/// `$1` is the folder to remove, `$2` the network device to remove or nothing, the rest is the program. The watcher is a process of its own, so that the shell can wait
/// for the program and pass on how it ended. From the moment it acts it ignores the signal that the shell sends it when
/// the program has ended, or the folder would stay.
const SCRIPT: &str = r#"
folder=$1 device=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
( read -r _ <&3; trap '' TERM; kill -KILL "$program"; rm -rf -- "$folder"; [ -z "$device" ] || ip link delete "$device" ) </dev/null >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$program"
status=$?
kill -TERM "$watcher"
exit "$status"
"#;

/// A program under guard. Dropping it kills the program.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: Child,
    /// Its end is the signal that we are gone.
    lifeline: Option<ChildStdin>,
}

impl Guardian {
    /// Starts `program` in a process group of its own, so that a terminal's signals do not reach it. Its output goes to
    /// `output`. If this process dies, the program is killed, and `folder` and the network device `device` are removed.
    pub(crate) fn start(
        program: &Path,
        arguments: &[OsString],
        folder: &Path,
        device: Option<&str>,
        output: File,
    ) -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("smolvm-guardian")
            .arg(folder)
            .arg(device.unwrap_or_default())
            .arg(program)
            .args(arguments)
            // Where QEMU keeps its throwaway overlay.
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { child, lifeline })
    }

    /// Waits until the program ends. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills the program and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.signal_group();
        drop(self.lifeline.take());
        self.child.wait().await.map(drop)
    }

    fn signal_group(&self) {
        // Once it was waited for, its number may be somebody else's, and `id` is gone.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            // It fails when the group ended in this moment, which is what was wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.signal_group();
    }
}

#[cfg(test)]
mod tests;

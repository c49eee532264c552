//! A Docker daemon for the tests, apart from any that the machine has: its own socket, its own folder, gone afterwards.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::process::{exists, program, succeeds_within};
use crate::{Result, say};

/// Where the tests look for the daemon.
pub(crate) const VARIABLE: &str = "SMOLVM_TEST_DOCKER";
/// How long a daemon may take to begin, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running daemon. Dropping it stops it and removes what it had.
pub(crate) struct Daemon {
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Starts one where this can be done: as root, with `dockerd` on the machine. Says so where it cannot.
    pub(crate) fn start(is_root: bool) -> Result<Option<Self>> {
        if !is_root || !exists("dockerd") {
            say("no Docker daemon can be started (that takes root and `dockerd`): what needs one is skipped");
            return Ok(None);
        }
        // Short: a socket's path has at most 107 bytes.
        let folder = std::env::temp_dir().join(format!("smolvm-docker-{}", std::process::id()));
        fs_err::create_dir_all(&folder)?;
        let log = fs_err::File::create(folder.join("log"))?.into_parts().0;
        let place = |name: &str| folder.join(name).display().to_string();
        let words = [
            "--host".to_owned(),
            format!("unix://{}", place("docker.sock")),
            "--data-root".to_owned(),
            place("data"),
            "--exec-root".to_owned(),
            place("exec"),
            "--pidfile".to_owned(),
            place("pid"),
            // Builds use the host's network: no bridge and no rules of a firewall are left on the machine.
            "--bridge=none".to_owned(),
            "--iptables=false".to_owned(),
        ];
        let mut command = program("dockerd", &words.each_ref().map(String::as_str));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| format!("`dockerd` did not start: {error}"))?;
        let mut daemon = Self { child, folder };
        daemon.wait_until_it_answers()?;
        Ok(Some(daemon))
    }

    /// What to set [`VARIABLE`] to.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    fn wait_until_it_answers(&mut self) -> Result {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if succeeds_within(program("docker", &["--host", &self.address(), "version"]), Duration::from_secs(10)) {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let log = fs_err::read_to_string(self.folder.join("log")).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(10).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        Err(format!("the Docker daemon of the tests did not come up; it says:\n{}", end.join("\n")).into())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // dockerd ends its containerd on SIGTERM; a kill would leave it behind.
        let pid = self.child.id().to_string();
        let _ = program("kill", &["-TERM", &pid]).status();
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The network of the host, which builds were given, stays mounted there.
        let network = self.folder.join("exec/netns/default");
        if network.exists() {
            let _ = program("umount", &[&network.display().to_string()]).status();
        }
        if let Err(error) = fs_err::remove_dir_all(&self.folder) {
            say(&format!("the folder of the tests' Docker daemon stays: {error}"));
        }
    }
}

//! The SSH client: one connection, over which every command goes.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::{Algorithm, LineEnding, PrivateKey, rand_core::OsRng};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::error::VmError;
use crate::shell::quoted;

/// Files of the machine's folder. They are named relative to it, because a socket's path has a hundred bytes at most.
const KEY: &str = "key";
const CONTROL: &str = "control";
const LOG: &str = "ssh.log";
/// What the client calls the guest; its address is an option.
const HOST: &str = "guest";

/// Makes an Ed25519 key pair for one boot: the private half goes to `folder`, the public half is returned as the value of
/// the boot argument `smolvm.authorized_key_b64`.
pub(crate) fn make_key(folder: &Path) -> Result<String, VmError> {
    let failed = |error: ssh_key::Error| VmError::io("make an SSH key")(io::Error::other(error));
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    key.set_comment("smolvm-run");
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let public = key.public_key().to_openssh().map_err(failed)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(KEY))
        .and_then(|mut file| file.write_all(private.as_bytes()))
        .map_err(VmError::io("write the SSH key of this boot"))?;
    Ok(STANDARD.encode(public))
}

/// Whether an SSH server greets there. QEMU accepts every connection by itself, so only the greeting counts.
pub(crate) async fn greets(server: SocketAddrV4, patience: Duration) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(server).await?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await?;
        Ok::<_, io::Error>(&greeting == b"SSH-")
    };
    matches!(tokio::time::timeout(patience, greeting).await, Ok(Ok(true)))
}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The client that holds the connection; the others pass their requests to it.
    _holder: Child,
    folder: std::path::PathBuf,
    server: SocketAddrV4,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The server does not let us in, in the client's own words.
    Refused(String),
    /// The server is not there, or not yet.
    Absent(String),
    Other(VmError),
}

impl Connection {
    /// Logs in. Waits for as long as the client does.
    pub(crate) async fn open(folder: &Path, server: SocketAddrV4) -> Result<Self, ConnectError> {
        let log = folder.join(LOG);
        let output = std::fs::File::create(&log).map_err(|error| ConnectError::Other(VmError::io("log in")(error)))?;
        let mut holder = client(folder, server)
            .args(["-M", "-N", HOST])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            // It stays in our process group: it is the holder that reads a shell's terminal, and a terminal stops readers
            // that are not in the foreground.
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| ConnectError::Other(spawn_error(error)))?;
        let control = folder.join(CONTROL);
        loop {
            // The socket appears under this name when the login is done.
            if control.exists() {
                return Ok(Self { _holder: holder, folder: folder.to_owned(), server });
            }
            match holder.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Ok(Some(_)) => {
                    let words = std::fs::read_to_string(&log).unwrap_or_default().trim().to_owned();
                    let refused = words.contains("Permission denied");
                    return Err(if refused { ConnectError::Refused(words) } else { ConnectError::Absent(words) });
                }
                Err(error) => return Err(ConnectError::Other(VmError::io("log in")(error))),
            }
        }
    }

    /// A client that runs `words` in the guest; its standard streams are the caller's to set. `None`: a login shell on a
    /// terminal.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: Option<&[S]>) -> Command {
        let mut command = client(&self.folder, self.server);
        match words {
            Some(words) => command.args(["-T", HOST]).arg(remote_line(words)),
            None => command.args(["-t", HOST]),
        };
        command
    }

    /// Whether the connection still stands.
    pub(crate) async fn is_alive(&self) -> bool {
        let status = client(&self.folder, self.server)
            .args(["-O", "check", HOST])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await;
        status.is_ok_and(|status| status.success())
    }
}

pub(crate) fn spawn_error(error: io::Error) -> VmError {
    if error.kind() == io::ErrorKind::NotFound { VmError::SshMissing } else { VmError::io("start `ssh`")(error) }
}

/// A client that reads no configuration, asks nothing, offers no other key, and remembers nothing.
fn client(folder: &Path, server: SocketAddrV4) -> Command {
    let mut command = Command::new("ssh");
    command
        .current_dir(folder)
        .args(["-F", "/dev/null", "-i", KEY, "-S", CONTROL, "-l", "root", "-p"])
        .arg(server.port().to_string())
        .arg("-o")
        .arg(format!("HostName={}", server.ip()));
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "LogLevel=ERROR",
        // The default is a key exchange against quantum computers, which an emulated processor feels, on loopback.
        "KexAlgorithms=curve25519-sha256",
    ] {
        command.args(["-o", option]);
    }
    command
}

/// One line for the guest's login shell that runs exactly these words. Without `exit $?` that shell would make way for the
/// program, and a program killed by a signal would end the client with 255 instead of 128 and the signal's number.
fn remote_line<S: AsRef<OsStr>>(words: &[S]) -> OsString {
    let mut line = OsString::new();
    for word in words {
        line.push(quoted(word));
        line.push(" ");
    }
    line.push("; exit $?");
    line
}

#[cfg(test)]
mod tests;

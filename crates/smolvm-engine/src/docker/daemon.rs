//! The connection to a daemon, and what it can do.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use super::address::{Address, Candidate};
use super::error::{chain, system_reason};
use super::{DockerError, DockerPlaces};

/// How long a daemon may take to say that it is there, where nobody says.
const ANSWER: Duration = Duration::from_secs(15);
/// The client's own limit on a request, far above any upload; idle times are watched apart.
const REQUEST_SECONDS: u64 = 6 * 3600;
/// Docker 20.10, the oldest that smolvm is tried with.
const OLDEST_API: (usize, usize) = (1, 41);

/// A daemon that answers.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) docker: Docker,
    pub(super) address: Address,
    pub(super) builder: Builder,
    /// The daemon's own version, the first number of it.
    pub(super) major: u32,
    /// As it calls itself.
    pub(super) version: String,
}

/// Which of Docker's builders is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    BuildKit,
    Classic,
}

impl Daemon {
    /// Asks the candidates one after the other.
    pub(super) async fn connect(places: &DockerPlaces) -> Result<Self, DockerError> {
        let candidates = places.candidates()?;
        let mut seen = Vec::new();
        let mut refused = None;
        for candidate in &candidates {
            match Self::ask(candidate, places).await {
                Ok(daemon) => return Ok(daemon),
                Err(Missed::Absent(reason)) => {
                    if candidate.is_chosen || reason.is_told {
                        seen.push(format!("{}: {}", candidate.address, reason.text));
                    }
                }
                // The user's own daemon may be at a later place than the machine's.
                Err(Missed::Failed(error @ DockerError::Permission { .. })) => {
                    refused.get_or_insert(error);
                }
                Err(Missed::Failed(error)) => return Err(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if seen.is_empty() && !places.has_client() {
            let looked = candidates.iter().map(|candidate| candidate.address.to_string()).collect();
            return Err(DockerError::NotInstalled { looked });
        }
        if seen.is_empty() {
            seen.extend(candidates.iter().take(1).map(|candidate| format!("{}: no such socket", candidate.address)));
        }
        Err(DockerError::NotRunning { seen: seen.join("; ") })
    }

    async fn ask(candidate: &Candidate, places: &DockerPlaces) -> Result<Self, Missed> {
        let address = candidate.address.to_string();
        let docker = match &candidate.address {
            Address::Socket(path) => {
                match path.symlink_metadata().map_err(|error| error.kind()) {
                    Ok(_) => {}
                    // In a folder that may not be entered. Of the usual places, that says nothing: /run/podman is root's.
                    Err(std::io::ErrorKind::PermissionDenied) if candidate.is_chosen => {
                        return Err(Missed::Failed(DockerError::Permission { socket: address }));
                    }
                    Err(_) => return Err(Missed::absent("no such socket", false)),
                }
                Docker::connect_with_unix(&path.to_string_lossy(), REQUEST_SECONDS, API_DEFAULT_VERSION)
            }
            Address::Tcp(host) => Docker::connect_with_http(host, REQUEST_SECONDS, API_DEFAULT_VERSION),
        };
        let docker = docker.map_err(|error| Missed::of(&address, &error))?;
        let patience = places.answer.unwrap_or(ANSWER);
        let answer = tokio::time::timeout(patience, async {
            let docker = docker.negotiate_version().await?;
            let version = docker.version().await?;
            Ok::<_, bollard::errors::Error>((docker, version))
        });
        let no_answer = || DockerError::NoAnswer { address: address.clone(), seconds: patience.as_secs() };
        let (docker, version) =
            answer.await.map_err(|_| Missed::Failed(no_answer()))?.map_err(|error| Missed::of(&address, &error))?;
        let api = version.api_version.unwrap_or_default();
        let parsed = api.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if parsed.is_none_or(|parsed: (usize, usize)| parsed < OLDEST_API) {
            return Err(Missed::Failed(DockerError::TooOld { address, found: api, needed: "1.41" }));
        }
        let is_podman = version.components.iter().flatten().any(|component| component.name.contains("Podman"));
        let version = version.version.unwrap_or_default();
        let builder = if is_podman || places.classic_builder { Builder::Classic } else { Builder::BuildKit };
        let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        Ok(Self { docker, address: candidate.address.clone(), builder, major, version })
    }
}

/// Why a candidate is not the daemon.
enum Missed {
    /// Nobody is there: the next one is tried.
    Absent(Reason),
    /// Somebody is, and it is told at once.
    Failed(DockerError),
}

struct Reason {
    text: String,
    /// Whether this is worth telling, since something is there.
    is_told: bool,
}

impl Missed {
    fn absent(text: &str, is_told: bool) -> Self {
        Self::Absent(Reason { text: text.to_owned(), is_told })
    }

    fn of(address: &str, error: &bollard::errors::Error) -> Self {
        use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, PermissionDenied};
        if matches!(error, bollard::errors::Error::SocketNotFoundError(_)) {
            return Self::absent("no such socket", false);
        }
        match system_reason(error) {
            Some(PermissionDenied) => Self::Failed(DockerError::Permission { socket: address.to_owned() }),
            Some(NotFound) => Self::absent("no such socket", false),
            Some(ConnectionRefused) => Self::absent("connection refused, since nobody listens there", true),
            Some(ConnectionReset) => Self::absent("the connection was closed at once", true),
            _ => Self::Failed(DockerError::Daemon { doing: format!("asking {address}"), message: chain(error) }),
        }
    }
}

//! Where a Docker daemon may listen, in the order in which the `docker` command and its relatives look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::DockerError;

/// What says where the daemon is: the parts of the environment that the `docker` command reads.
#[derive(Debug, Clone, Default)]
pub struct DockerPlaces {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub config_folder: Option<PathBuf>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_folder: Option<PathBuf>,
    /// `PATH`.
    pub search_path: Option<std::ffi::OsString>,
    /// Whether `DOCKER_BUILDKIT=0` asks for the classic builder.
    pub classic_builder: bool,
    /// How long a daemon may take to say that it is there; 15 s where nobody says.
    pub answer: Option<Duration>,
}

/// An address, and whether somebody chose it: then no other one is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) address: Address,
    pub(super) is_chosen: bool,
}

/// How a daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Socket(PathBuf),
    Tcp(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

impl DockerPlaces {
    /// The addresses to try, the first that answers counts.
    pub(super) fn candidates(&self) -> Result<Vec<Candidate>, DockerError> {
        if let Some(host) = &self.docker_host {
            return Ok(vec![chosen(host, "`DOCKER_HOST`")?]);
        }
        if let Some(context) = self.active_context() {
            let host = self.host_of(&context)?;
            return Ok(vec![chosen(&host, &format!("the Docker context `{context}`"))?]);
        }
        let below = |folder: &Option<PathBuf>, path: &str| folder.as_ref().map(|folder| folder.join(path));
        let sockets = [
            Some(PathBuf::from("/var/run/docker.sock")),
            // Docker Desktop on macOS and Linux, rootless Docker, Colima.
            below(&self.home, ".docker/run/docker.sock"),
            below(&self.home, ".docker/desktop/docker.sock"),
            below(&self.runtime_folder, "docker.sock"),
            below(&self.home, ".colima/default/docker.sock"),
            below(&self.runtime_folder, "podman/podman.sock"),
            Some(PathBuf::from("/run/podman/podman.sock")),
        ];
        let candidate = |socket| Candidate { address: Address::Socket(socket), is_chosen: false };
        Ok(sockets.into_iter().flatten().map(candidate).collect())
    }

    /// Whether the `docker` or `podman` command can be found.
    pub(super) fn has_client(&self) -> bool {
        let folders = self.search_path.iter().flat_map(std::env::split_paths);
        let has = |folder: PathBuf| ["docker", "podman"].iter().any(|name| folder.join(name).is_file());
        folders.into_iter().any(has)
    }

    fn active_context(&self) -> Option<String> {
        let own = |context: &String| !context.is_empty() && context != "default";
        if self.context.is_some() {
            return self.context.clone().filter(own);
        }
        let text = std::fs::read_to_string(self.config_folder.as_ref()?.join("config.json")).ok()?;
        let config: ConfigFile = serde_json::from_str(&text).ok()?;
        config.current_context.filter(own)
    }

    /// A context lies in a folder that is named after the hash of its name.
    fn host_of(&self, context: &str) -> Result<String, DockerError> {
        use sha2::Digest as _;
        let unknown = || DockerError::Context { context: context.to_owned() };
        let folder = hex::encode(sha2::Sha256::digest(context.as_bytes()));
        let config = self.config_folder.as_deref().unwrap_or(Path::new(""));
        let path = config.join("contexts/meta").join(folder).join("meta.json");
        let text = std::fs::read_to_string(path).map_err(|_| unknown())?;
        let meta: ContextFile = serde_json::from_str(&text).map_err(|_| unknown())?;
        Ok(meta.endpoints.docker.host)
    }
}

fn chosen(host: &str, by: &str) -> Result<Candidate, DockerError> {
    let address = match host.split_once("://") {
        Some(("unix", path)) => Address::Socket(path.into()),
        Some(("tcp" | "http", host)) => Address::Tcp(host.trim_end_matches('/').to_owned()),
        _ if host.starts_with('/') => Address::Socket(host.into()),
        _ => return Err(DockerError::Address { address: host.to_owned(), by: by.to_owned() }),
    };
    Ok(Candidate { address, is_chosen: true })
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct ContextFile {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(places: &DockerPlaces) -> Vec<String> {
        places.candidates().unwrap().iter().map(|candidate| candidate.address.to_string()).collect()
    }

    #[test]
    fn the_variable_comes_before_the_context_and_that_before_the_usual_places() {
        let folder = tempfile::tempdir().unwrap();
        let hash = {
            use sha2::Digest as _;
            hex::encode(sha2::Sha256::digest(b"desk"))
        };
        let meta = folder.path().join("contexts/meta").join(hash);
        fs_err::create_dir_all(&meta).unwrap();
        let text = r#"{"Name":"desk","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///desk.sock","SkipTLSVerify":false}}}"#;
        fs_err::write(meta.join("meta.json"), text).unwrap();
        fs_err::write(folder.path().join("config.json"), r#"{"auths":{},"currentContext":"desk"}"#).unwrap();

        let mut places = DockerPlaces { config_folder: Some(folder.path().to_owned()), ..DockerPlaces::default() };
        assert_eq!(addresses(&places), ["unix:///desk.sock"]);
        places.context = Some("default".to_owned());
        assert_eq!(addresses(&places)[0], "unix:///var/run/docker.sock");
        places.docker_host = Some("tcp://127.0.0.1:2375/".to_owned());
        assert_eq!(addresses(&places), ["tcp://127.0.0.1:2375"]);
        places.docker_host = None;
        places.context = Some("gone".to_owned());
        assert!(matches!(places.candidates(), Err(DockerError::Context { context }) if context == "gone"));
    }

    #[test]
    fn an_address_that_cannot_be_used_is_told() {
        let places = DockerPlaces { docker_host: Some("ssh://me@host".to_owned()), ..DockerPlaces::default() };
        assert!(matches!(places.candidates(), Err(DockerError::Address { .. })));
    }

    #[test]
    fn sockets_of_desktops_and_of_podman_are_looked_for() {
        let places = DockerPlaces {
            home: Some("/home/me".into()),
            runtime_folder: Some("/run/user/1000".into()),
            ..DockerPlaces::default()
        };
        let found = addresses(&places);
        for path in ["/home/me/.docker/run/docker.sock", "/run/user/1000/podman/podman.sock", "/run/podman/podman.sock"]
        {
            assert!(found.contains(&format!("unix://{path}")), "{found:?}");
        }
    }
}

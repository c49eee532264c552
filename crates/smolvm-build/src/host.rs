//! What a build may know of the machine and of whoever builds. The caller hands in environment and clock.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use smolvm_engine::DockerPlaces;
use smolvm_fetch::{AptSource, SourcesFormat, apt_sources};
use smolvm_manifest::{Arch, Family};

/// The machine and the person that build. None of it enters an image or a key.
#[derive(Debug, Clone)]
pub struct Host {
    environment: BTreeMap<OsString, OsString>,
    now: SystemTime,
}

impl Host {
    /// A host with this environment (`std::env::vars_os()`) and this time (`SystemTime::now()`).
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>, now: SystemTime) -> Self {
        Self { environment: environment.into_iter().collect(), now }
    }

    /// An environment variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty())
    }

    /// Every environment variable.
    pub fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.environment.iter()
    }

    /// The time.
    pub fn now(&self) -> SystemTime {
        self.now
    }

    /// The home folder.
    pub fn home(&self) -> Option<&Path> {
        self.variable("HOME").map(Path::new)
    }

    /// The store: `SMOLVM_IMAGE_DIR`, else `~/.smolvm/images`.
    pub fn image_dir(&self) -> PathBuf {
        match self.variable("SMOLVM_IMAGE_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => self.home().unwrap_or(Path::new("")).join(".smolvm/images"),
        }
    }

    /// The download cache: `SMOLVM_CACHE_DIR`, else `$XDG_CACHE_HOME/smolvm`, else `~/.cache/smolvm`.
    pub fn cache_dir(&self) -> PathBuf {
        if let Some(folder) = self.variable("SMOLVM_CACHE_DIR") {
            return PathBuf::from(folder);
        }
        match (self.variable("XDG_CACHE_HOME"), self.home()) {
            (Some(folder), _) => Path::new(folder).join("smolvm"),
            (None, Some(home)) => home.join(".cache/smolvm"),
            (None, None) => PathBuf::from(".smolvm/cache"),
        }
    }

    /// The folder that alone packages are taken from: `SMOLVM_MIRROR_DIR`.
    pub fn mirror_dir(&self) -> Option<PathBuf> {
        self.variable("SMOLVM_MIRROR_DIR").map(PathBuf::from)
    }

    /// The configuration file: `$XDG_CONFIG_HOME/smolvm/config.yaml`, else `~/.config/smolvm/config.yaml`.
    pub fn config_path(&self) -> Option<PathBuf> {
        match (self.variable("XDG_CONFIG_HOME"), self.home()) {
            (Some(folder), _) => Some(Path::new(folder).join("smolvm/config.yaml")),
            (None, Some(home)) => Some(home.join(".config/smolvm/config.yaml")),
            (None, None) => None,
        }
    }

    /// What says where a Docker daemon is.
    pub fn docker_places(&self) -> DockerPlaces {
        let text = |name: &str| self.variable(name).map(|value| value.to_string_lossy().into_owned());
        let folder = |name: &str| self.variable(name).map(PathBuf::from);
        DockerPlaces {
            docker_host: text("DOCKER_HOST"),
            context: text("DOCKER_CONTEXT"),
            config_folder: folder("DOCKER_CONFIG").or_else(|| Some(self.home()?.join(".docker"))),
            home: self.home().map(Path::to_owned),
            runtime_folder: folder("XDG_RUNTIME_DIR"),
            search_path: self.variable("PATH").cloned(),
            classic_builder: text("DOCKER_BUILDKIT").as_deref() == Some("0"),
            answer: None,
        }
    }

    /// The machine's architecture, where an image can be of it.
    pub fn arch() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Arch::Amd64),
            "aarch64" => Some(Arch::Arm64),
            _ => None,
        }
    }

    /// Seconds since 1970.
    pub fn unix_time(&self) -> i64 {
        match self.now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(_) => 0,
        }
    }

    /// The host's own apt sources, where the host is of the distribution that is asked for: `/etc/apt/sources.list` and what
    /// lies in `sources.list.d`, in apt's order. A file that cannot be read is left out: it is apt's business.
    pub fn apt_sources(family: Family) -> Vec<AptSource> {
        let wanted = match family {
            Family::Debian => "debian",
            Family::Ubuntu => "ubuntu",
            Family::Alpine => return Vec::new(),
        };
        let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let id = os_release.lines().find_map(|line| line.strip_prefix("ID="));
        if id.map(|id| id.trim_matches('"')) != Some(wanted) {
            return Vec::new();
        }
        let parts = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
        let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
        parts.sort();
        std::iter::once(PathBuf::from("/etc/apt/sources.list"))
            .chain(parts)
            .filter_map(|path| {
                let format = SourcesFormat::of_file(path.file_name()?.to_str()?)?;
                Some(apt_sources(format, &std::fs::read_to_string(&path).ok()?))
            })
            .flatten()
            .collect()
    }
}

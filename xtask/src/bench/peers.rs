//! The tools that ours is measured against: installed where they are missing, skipped with a reason where they cannot be.

use std::path::{Path, PathBuf};

use super::measure::{Bench, Contender, quietly, without_addresses};
use super::workload::{MEBIBYTES, PACKAGES};
use crate::docker::Daemon;
use crate::process::{cargo, exists, program};
use crate::setup::{Tool, install, is_root};
use crate::{Result, say};

pub(super) const RDEBOOTSTRAP: &str = "rdebootstrap 0.4.0 + mkext4 0.0.3";
pub(super) const MMDEBSTRAP: &str = "mmdebstrap + mke2fs -d";
pub(super) const BUILDER: &str = "SmolVM's ImageBuilder";
pub(super) const BUILDER_AGAIN: &str = "SmolVM's ImageBuilder, only the size changed";
pub(super) const CLI: &str = "SmolVM's CLI (`smolvm image list`)";
/// The version of SmolVM's Python package.
pub(super) const SMOLVM: &str = "0.0.36";

/// What measuring and the peers need of Debian's packages.
const TOOLS: [Tool; 10] = [
    Tool { program: "hyperfine", package: "hyperfine", purpose: "measures" },
    Tool { program: "/usr/bin/time", package: "time", purpose: "measures memory" },
    Tool { program: "ssh-keygen", package: "openssh-client", purpose: "makes the keys that change" },
    Tool { program: "e2fsck", package: "e2fsprogs", purpose: "judges what the peers made" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "is a peer, and makes Docker's base image" },
    Tool { program: "gpg", package: "gpg", purpose: "reads keyrings for mmdebstrap" },
    Tool { program: "/usr/include/gpgme.h", package: "libgpgme-dev", purpose: "is what rdebootstrap is built with" },
    Tool { program: "/usr/share/doc/python3-venv/copyright", package: "python3-venv", purpose: "installs SmolVM" },
    Tool { program: "dockerd", package: "docker.io", purpose: "builds for SmolVM's ImageBuilder" },
    Tool { program: "busybox", package: "busybox-static", purpose: "stands in for SmolVM's guest agent" },
];

/// The Docker image that SmolVM's `ImageBuilder` begins with.
const BASE_IMAGE: &str = "smolvm-bench-bookworm";

/// SmolVM's `ImageBuilder` as its documentation calls it, but for what it would fetch from addresses that not every machine reaches:
/// local files stand in for kernel and guest agent, which costs it less. Its helper for mounting is taken from where the package
/// has it instead of from where its set-up installs it.
const BUILD: &str = r#"import sys
from pathlib import Path
from smolvm.images import builder

cache, size, base, kernel, helper = sys.argv[1:]
builder.LOOPFS_HELPER_PATH = Path(helper)
key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIirTPIKEpqtq3ssIoDcYIsMdqoU9dUj5qeilsGIXNJt bench"
images = builder.ImageBuilder(cache_dir=Path(cache))
images.build_debian_ssh_key(key, name="w1", rootfs_size_mb=int(size), base_image=base, kernel_url=Path(kernel).as_uri())
"#;

/// Docker's client; its builds use the host's network, since the daemon has no bridge.
const DOCKER: &str = r#"#!/bin/sh
PATH=${PATH#*:}
if [ "$1" = build ]; then
    shift
    exec docker build --network=host "$@"
fi
exec docker "$@"
"#;

/// Debian's configured archive: its address, and one line for each suite as apt reads them.
struct Archive {
    address: String,
    lines: String,
}

/// The peers, each ready or with the reason why not.
pub(super) struct Peers {
    pub(super) rdebootstrap: Result<(), String>,
    pub(super) mmdebstrap: Result<(), String>,
    pub(super) builder: Result<Daemon, String>,
    pub(super) cli: Result<(), String>,
    /// `target/bench/peers`, which stays from run to run.
    folder: PathBuf,
    archive: Option<Archive>,
    /// A file as large as a kernel.
    kernel: PathBuf,
}

/// Which peers are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) trees: bool,
    pub(super) builder: bool,
    pub(super) cli: bool,
}

const UNWANTED: &str = "no row asks for it";

impl Peers {
    /// Installs what is missing and prepares what can be.
    pub(super) fn prepare(folder: &Path, wanted: Wanted, bench: &mut Bench, kernel: &Path) -> Result<Self> {
        install(&TOOLS, "peers")?;
        for tool in ["hyperfine", "/usr/bin/time", "ssh-keygen"] {
            if !exists(tool) {
                return Err(format!("`{tool}` is missing: nothing can be measured").into());
            }
        }
        fs_err::create_dir_all(folder)?;
        let mut peers = Self {
            rdebootstrap: Err(UNWANTED.to_owned()),
            mmdebstrap: Err(UNWANTED.to_owned()),
            builder: Err(UNWANTED.to_owned()),
            cli: Err(UNWANTED.to_owned()),
            folder: folder.to_owned(),
            archive: archive()?,
            kernel: kernel.to_owned(),
        };
        if wanted.trees {
            peers.rdebootstrap = reason(peers.install_rdebootstrap());
            peers.mmdebstrap = reason(peers.check_mmdebstrap());
        }
        if wanted.cli || wanted.builder {
            peers.cli = reason(peers.install_smolvm());
        }
        if wanted.builder {
            peers.builder = match &peers.cli {
                Ok(()) => reason(peers.start_docker(bench)),
                Err(why) => Err(why.clone()),
            };
        }
        let outcomes = [
            (RDEBOOTSTRAP, peers.rdebootstrap.as_ref().err()),
            (MMDEBSTRAP, peers.mmdebstrap.as_ref().err()),
            (BUILDER, peers.builder.as_ref().err()),
            (CLI, peers.cli.as_ref().err()),
        ];
        for (name, why) in outcomes.iter().filter_map(|(name, why)| Some((name, (*why)?))) {
            if why != UNWANTED {
                say(&format!("{name} is skipped: {why}"));
            }
        }
        Ok(peers)
    }

    fn install_rdebootstrap(&self) -> Result {
        let archive = self.archive()?;
        let root = self.folder.display().to_string();
        for (name, words) in
            [("rdebootstrap", &["rdebootstrap@=0.4.0"][..]), ("mkfs", &["mkext4@=0.0.3", "--example", "mkfs"])]
        {
            if self.folder.join("bin").join(name).exists() {
                continue;
            }
            say(&format!("installing {} with cargo", words[0]));
            let mut command = cargo(&["install", "--quiet", "--locked", "--root", &root]);
            command.args(words);
            quietly(command, &self.folder.join("log"))?;
        }
        // One suite: of those that are built beside it rdebootstrap asks for indexes that not every mirror has.
        let packages = PACKAGES.map(|package| format!("\"{package}\"")).join(", ");
        let manifest = format!(
            "[[archive]]\nurl = \"{}\"\nsuites = [\"bookworm\"]\ncomponents = [\"main\"]\nsigned-by = \"{KEYRING}\"\n\n\
             [spec]\ninclude = [{packages}, \"apt\"]\n",
            archive.address
        );
        fs_err::write(self.folder.join("Manifest.toml"), manifest)?;
        Ok(())
    }

    fn check_mmdebstrap(&self) -> Result {
        let archive = self.archive()?;
        for name in ["mmdebstrap", "mke2fs"] {
            if !exists(name) {
                return Err(format!("`{name}` is missing").into());
            }
        }
        fs_err::write(self.folder.join("sources.list"), &archive.lines)?;
        Ok(())
    }

    fn install_smolvm(&self) -> Result {
        let venv = self.folder.join("smolvm");
        if self.cli_path().exists() {
            return Ok(());
        }
        say(&format!("installing SmolVM {SMOLVM} with pip"));
        let log = self.folder.join("log");
        quietly(program("python3", &["-m", "venv", &venv.display().to_string()]), &log)?;
        let package = format!("smolvm=={SMOLVM}");
        quietly(program(&venv.join("bin/pip").display().to_string(), &["install", "--quiet", &package]), &log)
    }

    /// A daemon with the base image in it, and all that the `ImageBuilder` is told beside.
    fn start_docker(&self, bench: &mut Bench) -> Result<Daemon> {
        self.check_mmdebstrap()?;
        if !exists("docker") || !exists("busybox") {
            return Err("`docker` or `busybox` is missing".into());
        }
        let daemon = Daemon::start(is_root())?.ok_or("it needs Docker, and no daemon can be started here")?;
        let address = daemon.address();
        say("making the base image for SmolVM's ImageBuilder");
        let tar = self.folder.join("bookworm.tar").display().to_string();
        let sources = self.folder.join("sources.list").display().to_string();
        let log = self.folder.join("log");
        quietly(program("mmdebstrap", &["--quiet", "--variant=minbase", "bookworm", &tar, &sources]), &log)?;
        // As Debian's own image has it; `docker create` asks for one.
        let change = ["--change", "CMD [\"bash\"]"];
        quietly(program("docker", &["--host", &address, "import", change[0], change[1], &tar, BASE_IMAGE]), &log)?;
        fs_err::remove_file(&tar)?;
        fs_err::write(self.folder.join("build.py"), BUILD)?;
        executable(&self.folder.join("docker-client/docker"), DOCKER.as_bytes())?;
        executable(&self.folder.join("loopfs"), &fs_err::read(self.loopfs()?)?)?;
        let path = std::env::var("PATH").unwrap_or_default();
        let busybox = std::env::split_paths(&path).map(|folder| folder.join("busybox")).find(|file| file.is_file());
        let busybox = busybox.ok_or("`busybox` is not in PATH")?.display().to_string();
        bench.environment.push(("PATH", format!("{}:{path}", self.folder.join("docker-client").display())));
        bench.environment.push(("DOCKER_HOST", address));
        bench.environment.push(("SMOLVM_GUEST_AGENT_BINARY", busybox));
        Ok(daemon)
    }

    /// The script that mounts images for the `ImageBuilder`, as its package brings it.
    fn loopfs(&self) -> Result<PathBuf> {
        for entry in fs_err::read_dir(self.folder.join("smolvm/lib"))? {
            let file = entry?.path().join("site-packages/smolvm/_setup_assets/internal/image-build-loopfs.sh");
            if file.exists() {
                return Ok(file);
            }
        }
        Err("SmolVM's package has no helper for mounting images where it was expected".into())
    }

    fn archive(&self) -> Result<&Archive> {
        if !is_root() {
            return Err("it is measured as root only".into());
        }
        if !Path::new(KEYRING).exists() {
            return Err("the keyring of Debian's archive is missing (package debian-archive-keyring)".into());
        }
        self.archive.as_ref().ok_or_else(|| "apt is not configured with a mirror of Debian bookworm".into())
    }

    fn cli_path(&self) -> PathBuf {
        self.folder.join("smolvm/bin/smolvm")
    }

    /// W1 by rdebootstrap and mkext4, with its downloads there or not. It resolves anew either way.
    pub(super) fn by_rdebootstrap<'a>(&'a self, bench: &'a Bench, downloads: bool) -> Contender<'a> {
        let work = bench.folder.join("rdebootstrap");
        let script = r#"set -e; peers=$1; size=$2; shift 2
"$peers/bin/rdebootstrap" -q --cache-dir cache -m Manifest.toml update
"$peers/bin/rdebootstrap" -q --cache-dir cache -m Manifest.toml build --path tree
"$peers/bin/mkfs" tree rootfs.ext4 "$size""#;
        let size = u64::from(MEBIBYTES) << 20;
        let image = work.join("rootfs.ext4");
        let words = self.script(&work, script, &size.to_string());
        let prepare = move || {
            if !downloads {
                remove(&work)?;
            }
            for name in ["tree", "rootfs.ext4", "Manifest.amd64.lock"] {
                remove(&work.join(name))?;
            }
            fs_err::create_dir_all(&work)?;
            fs_err::copy(self.folder.join("Manifest.toml"), work.join("Manifest.toml"))?;
            Ok(())
        };
        Contender { name: RDEBOOTSTRAP, words, prepare: Box::new(prepare), image: Some(image), runs: 1 }
    }

    /// W1 by mmdebstrap and mke2fs.
    pub(super) fn by_mmdebstrap<'a>(&'a self, bench: &'a Bench) -> Contender<'a> {
        let work = bench.folder.join("mmdebstrap");
        let script = r#"set -e; peers=$1; size=$2; shift 2
mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' --include="$PACKAGES" bookworm tree "$peers/sources.list"
mke2fs -q -t ext4 -d tree rootfs.ext4 "$size""#;
        let script = script.replace("\"$PACKAGES\"", &PACKAGES.join(","));
        let image = work.join("rootfs.ext4");
        let words = self.script(&work, &script, &format!("{MEBIBYTES}M"));
        let prepare = move || {
            remove(&work)?;
            Ok(fs_err::create_dir_all(&work)?)
        };
        Contender { name: MMDEBSTRAP, words, prepare: Box::new(prepare), image: Some(image), runs: 1 }
    }

    /// W1 by SmolVM's `ImageBuilder`: from nothing but the base image, or again with another size.
    pub(super) fn by_builder<'a>(&'a self, bench: &'a Bench, again: bool) -> Contender<'a> {
        let work = bench.folder.join("builder");
        let path = |name: &str| self.folder.join(name).display().to_string();
        let size = if again { MEBIBYTES + 1 } else { MEBIBYTES };
        let build = [path("smolvm/bin/python"), path("build.py"), work.display().to_string()];
        let rest = [BASE_IMAGE.to_owned(), self.kernel.display().to_string(), path("loopfs")];
        let of_size = move |size: u32| -> Vec<String> {
            build.iter().cloned().chain([size.to_string()]).chain(rest.iter().cloned()).collect()
        };
        let image = work.join("w1/rootfs.ext4");
        let words = of_size(size);
        let prepare = move || {
            if again {
                let words = of_size(MEBIBYTES);
                let mut command = bench.command(&words[0]);
                command.args(&words[1..]);
                return bench.quietly(command);
            }
            remove(&work)?;
            let address = self.builder.as_ref().map(Daemon::address).map_err(Clone::clone)?;
            // Of an image that is not there it says so, which is as good.
            let _ = program("docker", &["--host", &address, "image", "rm", "--force", "smolvm-w1"]).output()?;
            bench.quietly(program("docker", &["--host", &address, "image", "prune", "--force"]))
        };
        let name = if again { BUILDER_AGAIN } else { BUILDER };
        Contender { name, words, prepare: Box::new(prepare), image: Some(image), runs: 1 }
    }

    /// The start of SmolVM's CLI, which every command of it waits for.
    pub(super) fn by_cli(&self) -> Contender<'_> {
        let words = [&self.cli_path().display().to_string(), "image", "list"].map(str::to_owned).to_vec();
        Contender { name: CLI, words, prepare: Box::new(|| Ok(())), image: None, runs: 3 }
    }

    fn script(&self, work: &Path, script: &str, size: &str) -> Vec<String> {
        // A word of its own for the folder: `sh -c` has no other way to begin there.
        let script = format!("cd \"$0\"; {script}");
        ["sh", "-c", &script, &work.display().to_string(), &self.folder.display().to_string(), size]
            .map(str::to_owned)
            .to_vec()
    }
}

/// The key of Debian's archive.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What apt is configured with, where that has bookworm. What it says stays between apt and the peers.
fn archive() -> Result<Option<Archive>> {
    if !exists("apt-get") {
        return Ok(None);
    }
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let output = program("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]).output()?;
    Ok(archive_of(&String::from_utf8_lossy(&output.stdout)))
}

fn archive_of(targets: &str) -> Option<Archive> {
    let mut address = None;
    let mut lines = Vec::new();
    for target in targets.lines() {
        let [place, suite, "main"] = target.split(' ').collect::<Vec<_>>()[..] else { continue };
        let place = place.trim_end_matches('/');
        match suite {
            "bookworm" => address = Some(place.to_owned()),
            "bookworm-updates" | "bookworm-security" => {}
            _ => continue,
        }
        lines.push(format!("deb [signed-by={KEYRING}] {place} {suite} main\n"));
    }
    lines.dedup();
    Some(Archive { address: address?, lines: lines.concat() })
}

/// The result with its error as one line that a page can hold.
pub(super) fn reason<T>(result: Result<T>) -> Result<T, String> {
    result.map_err(|error| without_addresses(&error.to_string()).replace('\n', " / ").replace('|', "/"))
}

/// Removes a file or a folder, if it is there.
pub(super) fn remove(path: &Path) -> Result {
    let removed = if path.is_dir() { fs_err::remove_dir_all(path) } else { fs_err::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn executable(path: &Path, content: &[u8]) -> Result {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(path.parent().ok_or("a file lies in a folder")?)?;
    fs_err::write(path, content)?;
    Ok(fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_the_one_that_apt_knows() {
        let targets = "http://m.example/debian/ bookworm main\nhttp://m.example/debian/ bookworm main\n\
                       http://m.example/debian/ bookworm contrib\nhttp://s.example/sec bookworm-security main\n\
                       http://other.example/ nodistro main\n";
        let archive = archive_of(targets).unwrap();
        assert_eq!(archive.address, "http://m.example/debian");
        let expected = [("m.example/debian", "bookworm"), ("s.example/sec", "bookworm-security")]
            .map(|(place, suite)| format!("deb [signed-by={KEYRING}] http://{place} {suite} main\n"));
        assert_eq!(archive.lines, expected.concat());
        assert!(archive_of("http://s.example/sec bookworm-security main\n").is_none());
    }

    #[test]
    fn a_reason_fits_into_a_table() {
        let failed: Result = Err("no http://m.example/x\na|b".into());
        assert_eq!(reason(failed), Err("no (address) / a/b".to_owned()));
    }
}

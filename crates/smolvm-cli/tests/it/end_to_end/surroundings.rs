//! Surroundings that a build must not notice: who builds, on how many processors, with which settings, on what disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::plain_user::PlainUser;
use super::shared::{download_cache, has, host_has_debian_sources, needs};
use crate::support::{ran, smolvm_at};

/// How a build is started.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Root, if nobody.
    pub(crate) user: Option<&'a PlainUser>,
    pub(crate) one_processor: bool,
    pub(crate) umask: &'static str,
    pub(crate) hostname: &'static str,
    /// Beside HOME and PATH.
    pub(crate) environment: &'a [(&'static str, &'static str)],
}

/// Sets host name and umask in namespaces that `unshare` has made, then becomes the rest of its words.
const SET_UP: &str = r#"hostname "$1" && umask "$2" && shift 2 && exec "$@""#;

impl Surroundings<'_> {
    /// A program in these surroundings, and in a folder that is its home.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = smolvm_at(Path::new("unshare"), folder);
        command.args(["--uts", "--", "sh", "-c", SET_UP, "sh", self.hostname, self.umask]);
        if let Some(PlainUser { uid, gid, .. }) = self.user {
            command.args(["setpriv", "--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
        }
        if self.one_processor {
            let allowed = rustix::thread::sched_getaffinity(None).expect("the processors that may be used");
            let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).expect("a processor");
            command.args(["taskset", "--cpu-list", &first.to_string()]);
        }
        command.arg(program).envs(self.environment.iter().copied());
        command
    }

    /// Fails where the surroundings are not what they are said to be: a test of them would prove nothing.
    pub(crate) fn check(&self, folder: &Path) {
        let facts = r#"echo "$(id -u) $(nproc) $(umask) $(uname -n)"; env"#;
        let seen = ran(self.command(Path::new("sh"), folder).args(["-c", facts])).expect_code(0).stdout;
        let uid = self.user.map_or(0, |user| user.uid);
        let processors = if self.one_processor { 1 } else { processors() };
        let wanted = format!("{uid} {processors} {} {}", self.umask, self.hostname);
        assert_eq!(seen.lines().next(), Some(wanted.as_str()));
        for (name, value) in self.environment {
            assert!(seen.lines().any(|line| line == format!("{name}={value}")), "{name} is not {value}:\n{seen}");
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A folder where root and a plain user may work, with all that they need.
pub(crate) struct Ground {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) binary: PathBuf,
    /// What was downloaded before: the plain user's, so that both can read it.
    pub(crate) cache: PathBuf,
    pub(crate) user: PlainUser,
}

impl Ground {
    /// `None`, said aloud, where this machine cannot. `user` is a name that no other test has.
    pub(crate) fn new(user: &'static str) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        let programs = ["useradd", "newuidmap", "unshare", "setpriv", "taskset", "mkfs.ext4", "cmp", "git"];
        let here = root && programs.into_iter().all(has) && processors() > 1;
        if !needs(&format!("root, two processors, or one of {}", programs.join(", ")), here)
            || !needs("an apt mirror of Debian", host_has_debian_sources())
        {
            return None;
        }
        // Where any user may look, unlike a checkout in somebody's home.
        let folder = tempfile::Builder::new()
            .permissions(PermissionsExt::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .expect("a folder");
        let binary = folder.path().join("smolvm");
        std::fs::copy(env!("CARGO_BIN_EXE_smolvm"), &binary).expect("a copy of the binary");
        let cache = folder.path().join("cache");
        Some(Self { folder, binary, cache, user: PlainUser::make(user) })
    }

    /// The binary as root, in a project.
    pub(crate) fn smolvm(&self, project: &Path) -> Command {
        let mut command = smolvm_at(&self.binary, project);
        command.env("SMOLVM_CACHE_DIR", &self.cache);
        command
    }

    /// A project with this Smolfile and a lock, everything that it takes being in the download cache.
    pub(crate) fn locked_project(&self, name: &str, smolfile: &str) -> PathBuf {
        let project = self.folder.path().join(name);
        std::fs::create_dir_all(&project).expect("a folder");
        std::fs::write(project.join("Smolfile.yaml"), smolfile).expect("a Smolfile");
        let mut lock = smolvm_at(&self.binary, &project);
        ran(lock.arg("lock").env("SMOLVM_CACHE_DIR", download_cache())).expect_code(0);
        project
    }

    /// Takes over what is in the cache of this run by now.
    pub(crate) fn copy_cache(&self) {
        ran(Command::new("cp").arg("-a").arg(download_cache()).arg(&self.cache)).expect_code(0);
        self.give_to_user(&self.cache);
    }

    /// All below a folder, to the plain user.
    pub(crate) fn give_to_user(&self, folder: &Path) {
        let owner = format!("{}:{}", self.user.uid, self.user.gid);
        ran(Command::new("chown").args(["-R", &owner]).arg(folder)).expect_code(0);
    }
}

/// A file system of a test's own, for as long as it lives.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// In memory: folders list what is in them in the order of making, the last first.
    pub(crate) fn in_memory(folder: &Path) -> Self {
        Self::at(folder, &["-t", "tmpfs", "-o", "size=6g", "tmpfs"])
    }

    /// ext4 with a hash seed of its own: folders list what is in them in the order of hashes.
    pub(crate) fn with_another_seed(folder: &Path) -> Self {
        let image = folder.with_extension("image");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(6 << 30).expect("a large file");
        let seed = "hash_seed=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        ran(Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal", "-E", seed]).arg(&image)).expect_code(0);
        Self::at(folder, &["-o", "loop", image.to_str().expect("a path")])
    }

    /// An image, to look at.
    pub(crate) fn of_image(folder: &Path, image: &Path) -> Self {
        Self::at(folder, &["-o", "loop,ro,noload", image.to_str().expect("a path")])
    }

    fn at(folder: &Path, words: &[&str]) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        ran(Command::new("mount").args(words).arg(folder)).expect_code(0);
        Self(folder.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The order in which a file system lists a folder's names.
pub(crate) fn listing_order(place: &Path) -> Vec<String> {
    let folder = place.join("order");
    std::fs::create_dir(&folder).expect("a folder");
    for name in 0..64 {
        std::fs::write(folder.join(name.to_string()), "").expect("a file");
    }
    let entries = std::fs::read_dir(&folder).expect("the folder");
    let names = entries.map(|entry| entry.expect("a name").file_name().to_string_lossy().into_owned()).collect();
    std::fs::remove_dir_all(&folder).expect("it can go");
    names
}

//! The host's apt in a root of its own: it fetches the indexes that a test reads, and is what a resolution is compared with.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use smolvm_manifest::{Arch, Distro};
use smolvm_packages::deb::in_release::{Compression, SignedRelease, verify_in_release};
use smolvm_packages::deb::index::read_index;
use smolvm_packages::deb::openpgp::Keyring;
use smolvm_packages::deb::release::{Release, release};
use smolvm_packages::deb::universe::Universe;

/// The host's apt with lists of its own and no package installed.
pub(crate) struct HostApt {
    folder: tempfile::TempDir,
    pub(crate) release: &'static Release,
    pub(crate) arch: Arch,
}

impl HostApt {
    /// The lists of the host's sources, fetched once; `None`, with the reason on stderr, where that cannot be.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn get() -> Option<&'static Self> {
        static APT: OnceLock<Result<HostApt, String>> = OnceLock::new();
        match APT.get_or_init(Self::fetch) {
            Ok(apt) => Some(apt),
            Err(reason) => {
                eprintln!("skipped: {reason}");
                None
            }
        }
    }

    fn fetch() -> Result<Self, String> {
        let arch = command(Command::new("dpkg").arg("--print-architecture")).ok_or("there is no dpkg here")?;
        let arch = Arch::ALL.into_iter().find(|known| known.as_str() == arch.trim());
        let arch = arch.ok_or("this machine's architecture is not one that smolvm builds for")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        for name in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(folder.path().join(name)).map_err(|error| error.to_string())?;
        }
        // Read last, so that nothing of the host's own settings for updates applies.
        let settings = format!(
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n#clear Acquire::IndexTargets::deb::DEP-11;\n\
             #clear APT::Architectures;\nAPT::Architectures {{ \"{arch}\"; }};\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\nAcquire::GzipIndexes \"false\";\nDir::State \"{root}/state\";\n\
             Dir::State::status \"{root}/status\";\nDir::Cache \"{root}/cache\";\n\
             Dir::Cache::srcpkgcache \"lists.bin\";\nDebug::NoLocking \"true\";\n",
            root = folder.path().display()
        );
        std::fs::write(folder.path().join("settings"), settings).map_err(|error| error.to_string())?;
        std::fs::write(folder.path().join("status"), "").map_err(|error| error.to_string())?;
        let mut apt = Self { folder, release: release(Distro::DebianBookworm).ok_or("no release")?, arch };
        if command(apt.command("status").arg("update")).is_none() {
            return Err("apt-get update fails here: no mirror can be reached".into());
        }
        let known = Distro::ALL.into_iter().filter_map(release);
        let is_whole = |row: &Release| row.suites.iter().all(|suite| apt.list(suite.suite, "InRelease").is_some());
        apt.release =
            known.into_iter().find(|row| is_whole(row)).ok_or("the host's apt has no release that smolvm knows")?;
        Ok(apt)
    }

    /// What apt would install, as `name=version`; `None` if it refuses.
    pub(crate) fn install(&self, status: &str, packages: &[&str]) -> Option<BTreeSet<String>> {
        let mut apt = self.command(status);
        apt.args(["-s", "--no-install-recommends", "-y", "-o", "APT::Install-Suggests=false", "install"])
            .args(packages);
        let text = command(&mut apt)?;
        let installed = text.lines().filter_map(|line| line.strip_prefix("Inst ")).map(|line| {
            let (name, rest) = line.split_once(' ').expect("a name");
            let version = rest.trim_start_matches('(').split(' ').next().expect("a version");
            format!("{name}={version}")
        });
        Some(installed.collect())
    }

    /// Makes a status file in which `installed` (`name=version`) is installed; [`Self::install`] takes its name.
    pub(crate) fn status_with(&self, installed: &BTreeSet<String>) -> &'static str {
        let mut status = String::new();
        let mut done = HashSet::new();
        for stanza in self.packages_text().split("\n\n") {
            let field = |name| stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let key = format!("{}={}", field("Package: "), field("Version: "));
            if installed.contains(&key) && done.insert(key) {
                status.push_str(stanza);
                status.push_str("\nStatus: install ok installed\n\n");
            }
        }
        assert_eq!(done.len(), installed.len());
        std::fs::write(self.folder.path().join("base"), status).expect("a status file");
        "base"
    }

    /// All of apt's lists, one after the other.
    pub(crate) fn packages_text(&self) -> String {
        let lists = self.release.suites.iter().flat_map(|suite| {
            suite.components.iter().filter_map(|component| self.packages_list(suite.suite, component))
        });
        let texts: Vec<String> = lists.map(|list| std::fs::read_to_string(list).expect("a list")).collect();
        texts.join("\n")
    }

    /// The release files, verified at the time that they were made.
    pub(crate) fn verified(&self) -> Vec<SignedRelease> {
        let keyring = Keyring::parse(self.release.keyring).expect("the embedded keyring");
        let verified = self.release.suites.iter().map(|suite| {
            let file = self.list(suite.suite, "InRelease").expect("a release file");
            let bytes = std::fs::read(file).expect("a release file");
            verify_in_release(&bytes, &keyring, suite.archive, suite.suite, made_at(&bytes)).expect("a good signature")
        });
        verified.collect()
    }

    /// The packages of apt's lists, verified and read as a build does.
    pub(crate) fn universe(&self) -> Universe {
        let indexes = self.release.suites.iter().flat_map(|suite| {
            suite.components.iter().filter_map(|component| {
                let file = std::fs::File::open(self.packages_list(suite.suite, component)?).expect("a list");
                Some(read_index(file, Compression::None, suite.archive, suite.suite, self.arch).expect("an index"))
            })
        });
        Universe::new(self.arch, indexes.collect())
    }

    /// A file of any archive, where a mirror of the host's apt serves it.
    ///
    /// Its address is that of the host's own archive of that name; Ubuntu's is looked for beside Debian's.
    pub(crate) fn archive_file(&self, archive: &str, path: &str) -> Option<Vec<u8>> {
        let known = self.release.suites.iter().find(|known| known.archive == archive);
        let known = known.unwrap_or(&self.release.suites[0]);
        let sources = command(self.command("status").args(["indextargets", "--format", "$(SITE) $(RELEASE)"]))?;
        let address = sources.lines().find_map(|line| line.strip_suffix(known.suite)?.strip_suffix(' '))?;
        let address = match address.rsplit_once('/') {
            Some((server, _)) if known.archive != archive => format!("{server}/{archive}"),
            _ => address.to_owned(),
        };
        let file = self.folder.path().join("download");
        let mut helper = Command::new("/usr/lib/apt/apt-helper");
        helper.arg("-c").arg(self.folder.path().join("settings"));
        command(helper.args(["download-file", &format!("{address}/{path}")]).arg(&file))?;
        let bytes = std::fs::read(&file).ok()?;
        std::fs::remove_file(&file).ok()?;
        Some(bytes)
    }

    /// apt's copy of an index, decompressed.
    pub(crate) fn packages_list(&self, suite: &str, component: &str) -> Option<PathBuf> {
        self.list(suite, &format!("{component}_binary-{}_Packages", self.arch))
    }

    /// A file of apt's lists.
    pub(crate) fn list(&self, suite: &str, rest: &str) -> Option<PathBuf> {
        let ending = format!("_dists_{suite}_{rest}");
        let files = std::fs::read_dir(self.folder.path().join("state/lists")).ok()?;
        files
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_str().is_some_and(|path| path.ends_with(&ending)))
    }

    /// Fetches one .deb (`name` or `name=version`) into a folder.
    pub(crate) fn download(&self, package: &str, folder: &std::path::Path) -> Option<PathBuf> {
        command(self.command("status").current_dir(folder).args(["download", package]))?;
        let beginning = format!("{}_", package.split('=').next().expect("a name"));
        let files = std::fs::read_dir(folder).ok()?;
        let mut debs = files.filter_map(|entry| Some(entry.ok()?.path()));
        debs.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&beginning)))
    }

    /// Fetches packages (`name=version`) into a folder, but for those that are there already.
    pub(crate) fn download_all(&self, packages: &[String], folder: &std::path::Path) -> Option<Vec<PathBuf>> {
        let present = |package: &String| {
            let beginning = format!("{}_", package.replacen('=', "_", 1).replace(':', "%3a"));
            let mut files = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
            files.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&beginning)))
        };
        let missing: Vec<&String> = packages.iter().filter(|package| present(package).is_none()).collect();
        if !missing.is_empty() {
            command(self.command("status").current_dir(folder).arg("download").args(missing))?;
        }
        packages.iter().map(present).collect()
    }

    fn command(&self, status: &str) -> Command {
        let mut apt = Command::new("apt-get");
        apt.env("LC_ALL", "C").arg("-c").arg(self.folder.path().join("settings")).arg("-qq");
        apt.arg("-o").arg(format!("Dir::State::status={}", self.folder.path().join(status).display()));
        // Containers turn apt's caches off; without them every call reads all lists again.
        apt.arg("-o").arg(format!("Dir::Cache::pkgcache={status}.bin"));
        apt
    }
}

/// The date in a release file, so that a test depends neither on the clock nor on how fresh a mirror is.
pub(crate) fn made_at(release_file: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(release_file);
    let date = text.lines().find_map(|line| line.strip_prefix("Date: ")).expect("a date");
    let seconds = command(Command::new("date").args(["-u", "-d", date, "+%s"])).expect("date(1)");
    seconds.trim().parse().expect("a number")
}

/// The output of a command that succeeds.
pub(crate) fn command(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.output().ok()?;
    status.success().then(|| String::from_utf8_lossy(&stdout).into_owned())
}

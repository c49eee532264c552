//! Real packages, installed in the sandbox and judged by the image's own dpkg and apt.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "why a test is skipped, and where its time went")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use smolvm_fetch::VerifiedFile;
use smolvm_manifest::{LockedPackage, PackageLayer};
use smolvm_packages::deb::install::{
    Arrivals, InstallError, InstallEvent, InstallOptions, UnpackJob, Unpacker, Urgency, install,
};
use smolvm_packages::deb::plan::plan;
use smolvm_packages::deb::unpack::{UnpackLimits, read_control};
use smolvm_packages::test_deb::TestDeb;
use smolvm_sandbox::{Network, SandboxCommand, SandboxOptions, Session, check_host, remove_tree, start};
use tempfile::TempDir;

use crate::host_apt::HostApt;

/// Base system and what an image needs to be reached by SSH.
const BASE: [&str; 2] = ["?essential", "apt"];
const USER: [&str; 6] = ["openssh-server", "iproute2", "curl", "bash", "ca-certificates", "python3"];

#[test]
fn a_real_set_becomes_a_sound_system() {
    let Some(mut image) = Image::with_base() else { return };
    let apt = HostApt::get().expect("it was there before");
    let wanted = BASE.into_iter().chain(USER).collect::<Vec<_>>();
    let all = apt.install("status", &wanted).expect("a set");
    let further: Vec<String> = all.into_iter().filter(|package| !image.installed.contains(package)).collect();
    let debs = download(apt, &further);
    image.install(&debs).unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(image.sh("dpkg --audit"), "");
    assert_eq!(image.sh("dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\\n' | grep -v '^ii '; true"), "");
    assert_eq!(image.sh("dpkg --verify"), "");
    image.sh("apt-get check");
    assert_eq!(image.sh("find / -xdev \\( -name '*.dpkg-new' -o -name '*.dpkg-tmp' -o -name policy-rc.d \\)"), "");
    assert_eq!(image.sh("ls /var/lib/dpkg/updates /var/lib/dpkg/tmp.ci 2>/dev/null; true"), "/var/lib/dpkg/updates:\n");
    assert_eq!(image.sh("cat /var/lib/dpkg/triggers/Unincorp"), "");
    assert_eq!(image.sh("find / -xdev \\( -nouser -o -nogroup \\)"), "");
    assert_eq!(image.sh("python3 -c 'import ssl; print(ssl.OPENSSL_VERSION[:7])'"), "OpenSSL\n");
    assert_eq!(image.sh("readlink /bin /lib /sbin"), "usr/bin\nusr/lib\nusr/sbin\n");
    assert_eq!(image.sh("stat -c '%a %U:%G' /usr/bin/passwd /usr/bin/chage"), "4755 root:root\n2755 root:shadow\n");
}

#[test]
fn scripts_run_when_and_how_dpkg_would_run_them() {
    let Some(mut image) = Image::with_base() else { return };
    let environment = "env | grep -E '^DPKG_(MAINT|ROOT|ADMIN|RUNNING)' | sort >> /var/tmp/log";
    let log = |line: &str| format!("#!/bin/sh\nset -e\necho {line} >> /var/tmp/log\n");
    let needed = TestDeb::new("needed", "1")
        .control_file("preinst", &format!("{}\n{environment}\nls /usr/share/needed && exit 1\ntest $0 = /var/lib/dpkg/tmp.ci/preinst\ntest \"$1\" = install\ntest -e ${{0%/*}}/control\n", log("needed-preinst")))
        .control_file("postinst", &log("needed-postinst"))
        .dir("./usr/").dir("./usr/share/").dir("./usr/share/needed/");
    let diverter = TestDeb::new("diverter", "1").field("Pre-Depends", "needed").control_file(
        "preinst",
        &format!("{}\ndpkg-query -W needed\ndpkg-divert --package diverter --add --rename --divert /usr/share/x.real /usr/share/x\n/usr/sbin/policy-rc.d && exit 1\ntest $? = 101\n", log("diverter-preinst")),
    ).dir("./usr/").dir("./usr/share/").file("./usr/share/x", "diverter");
    let owner = TestDeb::new("xdiverted", "1")
        .field("Depends", "diverter")
        .dir("./usr/")
        .dir("./usr/share/")
        .file("./usr/share/x", "diverted");
    let watcher = TestDeb::new("watcher", "1")
        .control_file("triggers", "interest-noawait /usr/share/needed\n")
        .control_file(
            "postinst",
            &format!("{}test \"$1\" != triggered || echo $2 >> /var/tmp/log\n", log("watcher-$1")),
        )
        .control_file("conffiles", "/etc/watcher.conf\n")
        .dir("./etc/")
        .file("./etc/watcher.conf", "conf\n");
    image.install(&image.debs(&[watcher])).unwrap_or_else(|error| panic!("{error}"));
    image.install(&image.debs(&[owner, diverter, needed])).unwrap_or_else(|error| panic!("{error}"));
    let running = image.sh("dpkg-query -W -f '${Version}' dpkg");
    let running: String =
        running.chars().take_while(|character| character.is_ascii_digit() || *character == '.').collect();
    let expected = format!(
        "watcher-configure\nneeded-preinst\nDPKG_ADMINDIR=/var/lib/dpkg\nDPKG_MAINTSCRIPT_ARCH=all\nDPKG_MAINTSCRIPT_DEBUG=0\n\
         DPKG_MAINTSCRIPT_NAME=preinst\nDPKG_MAINTSCRIPT_PACKAGE=needed\nDPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1\nDPKG_ROOT=\n\
         DPKG_RUNNING_VERSION={running}\nneeded-postinst\ndiverter-preinst\nwatcher-triggered\n/usr/share/needed\n"
    );
    assert_eq!(image.sh("cat /var/tmp/log"), expected);
    assert_eq!(image.sh("cat /usr/share/x /usr/share/x.real"), "diverterdiverted");
    assert_eq!(image.sh("cat /etc/watcher.conf; ls /etc/watcher.conf*"), "conf\n/etc/watcher.conf\n");
    assert_eq!(image.sh("dpkg --audit; dpkg --verify"), "");
}

#[test]
fn a_failing_script_is_named_with_its_output() {
    let Some(mut image) = Image::with_base() else { return };
    let failing =
        |script: &str| TestDeb::new("broken", "1").control_file(script, "#!/bin/sh\necho I cannot go on\nexit 42\n");
    let error = image.install(&image.debs(&[failing("preinst")])).unwrap_err();
    assert_eq!(error.to_string(), "the preinst script of the package broken failed: exit code 42\n    I cannot go on");
    let error = image.install(&image.debs(&[failing("postinst"), TestDeb::new("fine", "1")])).unwrap_err();
    assert_eq!(error.to_string(), "the postinst script of the package broken failed: exit code 42\n    I cannot go on");
}

#[test]
fn a_package_that_needs_what_is_not_there_is_refused_by_dpkg() {
    let Some(mut image) = Image::with_base() else { return };
    let error = image.install(&image.debs(&[TestDeb::new("lonely", "1").field("Depends", "company")])).unwrap_err();
    let InstallError::Refused { package, output, .. } = &error else { panic!("{error}") };
    assert_eq!(package, "lonely");
    assert!(output.contains("Package company is not installed."), "{output}");
}

/// An image in a sandbox.
struct Image {
    session: Option<Session>,
    folder: Option<TempDir>,
    scratch: PathBuf,
    /// `name=version`.
    installed: Vec<String>,
    count: usize,
}

impl Image {
    /// The base system, installed; `None`, with the reason on stderr, where that cannot be.
    fn with_base() -> Option<Self> {
        let apt = HostApt::get()?;
        if let Err(error) = check_host() {
            eprintln!("skipped: {error}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = folder.path().join("scratch");
        let options = SandboxOptions {
            scratch: scratch.clone(),
            memory: None,
            network: Network::None,
            hostname: "test".to_owned(),
        };
        let session = start(&options).expect("a sandbox");
        let installed: Vec<String> = apt.install("status", &BASE).expect("a set").into_iter().collect();
        let mut image = Self { session: Some(session), folder: Some(folder), scratch, installed: Vec::new(), count: 0 };
        image.install(&download(apt, &installed)).unwrap_or_else(|error| panic!("{error}"));
        image.installed = installed;
        Some(image)
    }

    fn install(&mut self, debs: &[PathBuf]) -> Result<(), InstallError> {
        let jobs: Vec<UnpackJob<()>> = debs.iter().map(|deb| job(deb)).collect();
        let limits = UnpackLimits::default();
        let started = Instant::now();
        let controls: Vec<_> =
            jobs.iter().map(|job| read_control(job.deb.clone(), &job.package, &limits).expect("a package").0).collect();
        let waves = plan(&controls);
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let (unpacker, packages) = Unpacker::start(&self.scratch, limits, workers, Urgency::Soon);
        unpacker.follow(&waves);
        for job in jobs {
            unpacker.push(job);
        }
        drop(unpacker);
        let mut log = Log { started, last: (started, "start".to_owned()), spent: Vec::new() };
        let options = InstallOptions { scratch: self.scratch.clone(), epoch: 1_700_000_000 };
        let session = self.session.as_mut().expect("a session");
        let result = install(session, &waves, &mut Arrivals::new(packages), &options, &mut |event| log.note(event));
        log.print(waves.len());
        result
    }

    /// Writes the packages to files.
    fn debs(&self, debs: &[TestDeb]) -> Vec<PathBuf> {
        let folder = self.folder.as_ref().expect("a folder").path();
        let write = |(number, deb): (usize, &TestDeb)| {
            let control = deb.control();
            let field = |name| control.lines().find_map(|line| line.strip_prefix(name)).expect("a field").to_owned();
            let name = format!("{}_{}_{}.deb", field("Package: "), field("Version: "), field("Architecture: "));
            let path = folder.join(format!("{}-{number}", self.count)).join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, deb.build().expect("a package")).expect("a file");
            path
        };
        debs.iter().enumerate().map(write).collect()
    }

    /// The output of a script, which must succeed.
    fn sh(&mut self, script: &str) -> String {
        let environment = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8"), ("HOME", "/root")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let command = SandboxCommand::new(["sh", "-c", script], environment);
        let mut output = Vec::new();
        let session = self.session.as_mut().expect("a session");
        let status = session.run(&command, &mut |bytes| output.extend_from_slice(bytes)).expect("a run");
        let output = String::from_utf8_lossy(&output).into_owned();
        assert!(status.success(), "{script}: {status}: {output}");
        output
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.session = None;
        if let Some(folder) = self.folder.take() {
            remove_tree(&self.scratch).expect("the scratch folder to be removed");
            folder.close().expect("the folder to be removed");
        }
    }
}

/// How long each script took, shown by `cargo test -- --nocapture`.
struct Log {
    started: Instant,
    last: (Instant, String),
    spent: Vec<(Duration, String)>,
}

impl Log {
    fn note(&mut self, event: InstallEvent<'_>) {
        let what = match event {
            InstallEvent::Output(_) => return,
            InstallEvent::Placed { packages } => format!("(after placing {packages} packages)"),
            InstallEvent::Script { package, script } => format!("{package} {script}"),
        };
        let (since, previous) = std::mem::replace(&mut self.last, (Instant::now(), what));
        self.spent.push((since.elapsed(), previous));
    }

    fn print(mut self, waves: usize) {
        self.note(InstallEvent::Placed { packages: 0 });
        println!("{waves} waves in {:?}", self.started.elapsed());
        self.spent.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        for (time, what) in self.spent.iter().take(25) {
            println!("{:6} ms {what}", time.as_millis());
        }
    }
}

/// Fetches packages (`name=version`) from the host's mirror.
fn download(apt: &HostApt, packages: &[String]) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("debs");
    std::fs::create_dir_all(&folder).expect("a folder");
    apt.download_all(packages, &folder).expect("the packages")
}

fn job(deb: &Path) -> UnpackJob<()> {
    let bytes = std::fs::read(deb).expect("a package");
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    let name = deb.file_stem().expect("a name").to_string_lossy().replace("%3a", ":");
    let [name, version, arch] = name.split('_').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let package = LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: arch.to_owned(),
        layer: PackageLayer::User,
        archive: "debian".to_owned(),
        path: deb.display().to_string(),
        size: bytes.len() as u64,
        sha256: hex::encode(sha256),
    };
    let deb = VerifiedFile::from_local(deb, package.size, sha256).expect("the same bytes");
    UnpackJob { package, deb, held: () }
}

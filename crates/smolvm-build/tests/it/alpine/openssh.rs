//! An OpenSSH server for Alpine: the source package of the host's distribution, built against musl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::apk::Apk;
use super::apt_source;
use super::minirootfs::Minirootfs;
use crate::support::{has, programs_are_here};

/// Programs of the source and where Alpine has them. The last two came with OpenSSH 9.8 and 10.0.
const PROGRAMS: [&str; 5] = [
    "usr/sbin/sshd",
    "usr/bin/ssh-keygen",
    "usr/lib/ssh/sftp-server",
    "usr/lib/ssh/sshd-session",
    "usr/lib/ssh/sshd-auth",
];

/// What Alpine's `sshd_config` says when comments are left out.
const CONFIG: &[u8] = b"Include /etc/ssh/sshd_config.d/*.conf
AuthorizedKeysFile .ssh/authorized_keys
AllowTcpForwarding no
GatewayPorts no
X11Forwarding no
Subsystem sftp internal-sftp
";

/// As Alpine's: it makes the user that the unprivileged part of sshd runs as.
const PRE_INSTALL: &str = "#!/bin/sh
addgroup -S -g 22 sshd 2>/dev/null
adduser -S -D -H -h /dev/null -s /sbin/nologin -u 22 -G sshd -g sshd sshd 2>/dev/null
exit 0
";

/// The package, built if no earlier run did; `None`, with the reason on stderr, where it cannot be.
///
/// Alpine splits it into several; here all is in the one that people name.
pub(super) fn package(minirootfs: &Minirootfs) -> Option<Apk> {
    let built = built(minirootfs)?;
    let version = fs_err::read_to_string(built.join("version")).unwrap();
    let mut package = Apk::new("openssh", &format!("{version}-r0"), "A server for secure shells")
        .field('D', "/bin/sh so:libc.musl-x86_64.so.1")
        .field('p', &format!("cmd:sshd={version}-r0 cmd:ssh-keygen={version}-r0"))
        .file("etc/ssh/sshd_config", 0o644, CONFIG)
        .folder("etc/ssh/sshd_config.d")
        .script(".pre-install", PRE_INSTALL);
    for path in PROGRAMS {
        let program = built.join(file_name(path));
        if program.exists() {
            package = package.file(path, 0o755, &fs_err::read(program).unwrap());
        }
    }
    Some(package)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// The folder with the programs and their version. It stays as long as this file does not change.
fn built(minirootfs: &Minirootfs) -> Option<PathBuf> {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let recipe = blake3::hash(include_bytes!("openssh.rs")).to_hex();
    let folder = all.join(format!("alpine-openssh-{}", &recipe[..16]));
    let lock = fs_err::File::create(all.join("alpine-openssh.lock")).unwrap();
    lock.file().lock().unwrap();
    if folder.exists() {
        return Some(folder);
    }
    let programs = ["apt-get", "dpkg-source", "musl-gcc", "make"];
    let here = programs_are_here(&programs) && kernel_headers().is_some();
    if !has("what builds OpenSSH (apt-get, dpkg-dev, musl-tools, make, linux-libc-dev)", here) {
        return None;
    }
    let scratch = tempfile::tempdir_in(all).unwrap();
    let source = apt_source::fetch("openssh", scratch.path())?;
    let finished = scratch.path().join("finished");
    fs_err::create_dir(&finished).unwrap();
    for program in build(&source, minirootfs, scratch.path()) {
        fs_err::copy(source.join(program), finished.join(program)).unwrap();
    }
    // `openssh-9.2p1` is 9.2_p1 at Alpine.
    let version = file_name(source.to_str().unwrap()).trim_start_matches("openssh-").replace('p', "_p");
    fs_err::write(finished.join("version"), version).unwrap();
    fs_err::rename(finished, &folder).unwrap();
    Some(folder)
}

/// Builds the programs that this version has, and returns their names.
fn build(source: &Path, minirootfs: &Minirootfs, scratch: &Path) -> Vec<&'static str> {
    let headers = scratch.join("kernel-headers");
    fs_err::create_dir(&headers).unwrap();
    for (name, folder) in kernel_headers().unwrap() {
        std::os::unix::fs::symlink(folder, headers.join(name)).unwrap();
    }
    // Debian's musl has no `crypt`; Alpine's own has it, and is what the programs will run with.
    let libc = scratch.join("ld-musl-x86_64.so.1");
    fs_err::write(&libc, minirootfs.content("lib/ld-musl-x86_64.so.1")).unwrap();
    // Debian's patches change what the script is made of, not the script: make would make it anew.
    run(Command::new("touch").arg(source.join("configure")));
    let mut configure = Command::new("./configure");
    configure
        .args(["--prefix=/usr", "--sysconfdir=/etc/ssh", "--libexecdir=/usr/lib/ssh", "--with-pid-dir=/run"])
        .args(["--with-privsep-path=/var/empty", "--with-privsep-user=sshd"])
        .args(["--with-default-path=/bin:/usr/bin:/sbin:/usr/sbin"])
        .args(["--without-openssl", "--without-zlib", "--without-pam"])
        .args(["--disable-lastlog", "--disable-utmp", "--disable-utmpx", "--disable-wtmp", "--disable-wtmpx"])
        .env("CC", "musl-gcc")
        .env("CFLAGS", "-O1")
        .env("CPPFLAGS", format!("-idirafter {}", headers.display()))
        .env("LIBS", &libc);
    run(configure.current_dir(source));
    let makefile = fs_err::read_to_string(source.join("Makefile")).unwrap();
    let programs = PROGRAMS.map(file_name).into_iter();
    let programs = programs.filter(|program| makefile.contains(&format!("\n{program}$(EXEEXT):"))).collect::<Vec<_>>();
    let jobs = std::thread::available_parallelism().unwrap();
    run(Command::new("make").arg(format!("-j{jobs}")).args(&programs).current_dir(source));
    programs
}

/// The folders of the kernel's headers, and nothing else of the host's: musl has none of its own.
fn kernel_headers() -> Option<[(&'static str, PathBuf); 3]> {
    let include = Path::new("/usr/include");
    let asm = include.join("x86_64-linux-gnu/asm");
    let folders = [("linux", include.join("linux")), ("asm-generic", include.join("asm-generic")), ("asm", asm)];
    folders.iter().all(|(_, folder)| folder.is_dir()).then_some(folders)
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
}

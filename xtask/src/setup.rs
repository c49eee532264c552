//! What the tests need beside Rust, and how to get it.

use crate::process::{exists, program, run};
use crate::{Result, say};

/// A program that some tests need.
pub(crate) struct Tool {
    /// Its name, or the whole path of another file that tells whether the package is there.
    pub(crate) program: &'static str,
    /// The Debian and Ubuntu package that holds it.
    pub(crate) package: &'static str,
    pub(crate) purpose: &'static str,
}

#[cfg(target_arch = "aarch64")]
const QEMU: Tool = Tool { program: "qemu-system-aarch64", package: "qemu-system-arm", purpose: "boots images" };
#[cfg(not(target_arch = "aarch64"))]
const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "boots images" };

const TOOLS: [Tool; 17] = [
    QEMU,
    Tool { program: "ssh", package: "openssh-client", purpose: "reaches booted images" },
    Tool { program: "ssh-keygen", package: "openssh-client", purpose: "judges keys and host keys" },
    Tool { program: "e2fsck", package: "e2fsprogs", purpose: "judges root file systems" },
    Tool { program: "mkfs.ext4", package: "e2fsprogs", purpose: "makes disks to build on" },
    Tool { program: "strace", package: "strace", purpose: "tells what a build reads" },
    Tool { program: "git", package: "git", purpose: "clones projects" },
    Tool { program: "newuidmap", package: "uidmap", purpose: "builds as a plain user" },
    Tool {
        program: "busybox",
        package: "busybox-static",
        purpose: "is the program in bare sandboxes, and the shell that runs Alpine's init",
    },
    Tool { program: "dash", package: "dash", purpose: "is the shell that runs Debian's init" },
    Tool { program: "sftp", package: "openssh-client", purpose: "copies files out of booted images" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "installs the set that ours is compared with" },
    Tool { program: "gpg", package: "gpg", purpose: "reads keyrings for mmdebstrap" },
    Tool { program: "dockerd", package: "docker.io", purpose: "is the other engine" },
    Tool { program: "dpkg-source", package: "dpkg-dev", purpose: "unpacks the source of Alpine's sshd" },
    Tool { program: "musl-gcc", package: "musl-tools", purpose: "builds Alpine's sshd" },
    Tool {
        program: "/usr/include/linux/types.h",
        package: "linux-libc-dev",
        purpose: "is what that sshd is built with",
    },
];

/// Installs what the tests need, and says what is skipped.
pub(crate) fn prepare() -> Result {
    if !is_root() {
        say("not root: tests that need root (to make users, to mount) are skipped");
    }
    install(&TOOLS, "tests")
}

/// Installs what is missing where that can be done (as root), and says what is missing, and who is skipped, where it cannot.
pub(crate) fn install(tools: &[Tool], users: &str) -> Result {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !exists(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    if is_root() && exists("apt-get") {
        say(&format!("installing {} with apt-get", packages.join(", ")));
        run(apt_get(&["update", "-q"]))?;
        let mut words = vec!["install", "-q", "-y", "--no-install-recommends"];
        words.extend(packages);
        return run(apt_get(&words));
    }
    for tool in missing {
        say(&format!("{} is missing (it {}): the {users} that need it are skipped", tool.program, tool.purpose));
    }
    say(&format!("to run them too: sudo apt-get install {}", packages.join(" ")));
    Ok(())
}

fn apt_get(words: &[&str]) -> std::process::Command {
    let mut command = program("apt-get", words);
    // Its listing is long and nobody reads it; errors go to stderr.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null());
    command
}

pub(crate) fn is_root() -> bool {
    program("id", &["-u"]).output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

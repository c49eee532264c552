//! What the tests need beside Rust, and how to get it.

use crate::process::{exists, program, run};
use crate::{Result, say};

/// A program that some tests need.
struct Tool {
    program: &'static str,
    /// The Debian and Ubuntu package that holds it.
    package: &'static str,
    purpose: &'static str,
}

#[cfg(target_arch = "aarch64")]
const QEMU: Tool = Tool { program: "qemu-system-aarch64", package: "qemu-system-arm", purpose: "boots images" };
#[cfg(not(target_arch = "aarch64"))]
const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "boots images" };

const TOOLS: [Tool; 6] = [
    QEMU,
    Tool { program: "ssh", package: "openssh-client", purpose: "reaches booted images" },
    Tool { program: "ssh-keygen", package: "openssh-client", purpose: "judges keys and host keys" },
    Tool { program: "e2fsck", package: "e2fsprogs", purpose: "judges root file systems" },
    Tool { program: "newuidmap", package: "uidmap", purpose: "builds as a plain user" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "installs the set that ours is compared with" },
];

/// The user without privileges, but with sub-ids, as which some tests build.
const PLAIN_USER: &str = "smolvm-test";

/// Sub-ids for it: far from the ranges that `useradd` gives out first.
const SUB_IDS: &str = "1524288-1589823";

/// Makes this machine ready where that can be done (as root), and says what is missing where it cannot.
pub(crate) fn prepare() -> Result {
    install_tools()?;
    if is_root() {
        return make_plain_user();
    }
    say("not root: tests that build as root and as a plain user, and compare, are skipped");
    Ok(())
}

fn install_tools() -> Result {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !exists(tool.program)).collect();
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
        say(&format!("{} is missing (it {}): the tests that need it are skipped", tool.program, tool.purpose));
    }
    say(&format!("to run them too: sudo apt-get install {}", packages.join(" ")));
    Ok(())
}

/// A user with sub-ids, if it is not there yet.
fn make_plain_user() -> Result {
    let prefix = format!("{PLAIN_USER}:");
    let names_it =
        |file: &str| std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with(&prefix)));
    if !names_it("/etc/passwd") {
        say(&format!("making the user {PLAIN_USER}, as which some tests build"));
        run(program("useradd", &["--no-create-home", "--shell", "/bin/sh", PLAIN_USER]))?;
    }
    if names_it("/etc/subuid") && names_it("/etc/subgid") {
        return Ok(());
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        // `usermod` adds ranges to files that exist alone.
        fs_err::OpenOptions::new().append(true).create(true).open(file)?;
    }
    run(program("usermod", &["--add-subuids", SUB_IDS, "--add-subgids", SUB_IDS, PLAIN_USER]))
}

fn apt_get(words: &[&str]) -> std::process::Command {
    let mut command = program("apt-get", words);
    // Its listing is long and nobody reads it; errors go to stderr.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null());
    command
}

fn is_root() -> bool {
    program("id", &["-u"]).output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

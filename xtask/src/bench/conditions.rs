//! On what, with what and when it was measured.

use std::path::Path;

use super::peers::SMOLVM;
use crate::process::program;

/// What the page says of the machine, the tools and the moment.
pub(super) fn conditions(smolvm: &Path, rounds: u32, folder: &Path) -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map(|cores| cores.to_string()).unwrap_or_default();
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_default();
    let folder = folder.display().to_string();
    let facts = [
        ("date", printed("date", &["-u", "+%F"])),
        ("rounds", rounds.to_string()),
        ("cores", format!("{cores}, {processor}")),
        ("memory", field("/proc/meminfo", "MemTotal").map(|total| gibibytes(&total)).unwrap_or_default()),
        ("kernel", printed("uname", &["-sr"])),
        ("disk", printed("findmnt", &["--noheadings", "--output", "FSTYPE,SOURCE", "--target", &folder])),
        ("load at the start", printed("cut", &["-d", " ", "-f", "1-3", "/proc/loadavg"])),
        ("system", printed("sh", &["-c", ". /etc/os-release && echo \"$PRETTY_NAME\""])),
        ("user", if crate::setup::is_root() { "root" } else { "not root" }.to_owned()),
        ("mirror", "the one that the machine's apt is configured with".to_owned()),
        ("smolvm", format!("{}, commit {}", printed(&smolvm.display().to_string(), &["--version"]), commit())),
        ("Rust", printed("rustc", &["--version"])),
        ("SmolVM", format!("{SMOLVM}, Python package")),
        ("Docker", printed("dockerd", &["--version"])),
        ("mmdebstrap", printed("mmdebstrap", &["--version"])),
        ("mke2fs", printed("sh", &["-c", "mke2fs -V 2>&1 | head -n 1"])),
        ("hyperfine", printed("hyperfine", &["--version"])),
    ];
    facts.into_iter().map(|(what, here)| (what.to_owned(), here)).collect()
}

fn commit() -> String {
    let changed = !printed("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let commit = printed("git", &["rev-parse", "--short", "HEAD"]);
    if changed { format!("{commit} and changes") } else { commit }
}

/// What a program prints, on one line; nothing where it cannot be asked.
fn printed(name: &str, words: &[&str]) -> String {
    let output = program(name, words).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of the first line of this name, as /proc writes them.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs_err::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// `24685100 kB` as /proc has it.
fn gibibytes(value: &str) -> String {
    let kibibytes = value.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    kibibytes.map_or_else(|| value.to_owned(), |kibibytes| format!("{} GiB", (kibibytes + (1 << 19)) >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded() {
        assert_eq!(gibibytes("24685100 kB"), "24 GiB");
        assert_eq!(gibibytes("much"), "much");
    }
}

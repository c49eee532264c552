//! Memory for the files of an image that is being built, which are many and soon gone: where there is enough of it.

use std::path::{Path, PathBuf};

use smolvm_engine::{EngineError, Job};
use smolvm_sandbox::MemoryFolder;

use crate::BuildOptions;

/// A package becomes some four times its size, five with what its scripts make of it; those of a few outliers more.
const GROWTH: u64 = 8;
/// What steps and scripts may need beside the packages.
const REST: u64 = 64 << 20;
/// A program that found no space may have removed some of what it wrote.
const LITTLE: u64 = 16 << 20;

/// Memory instead of the job's scratch folder; nothing where there is too little, or no sandbox can be made.
pub(crate) fn mount(job: &Job, options: &BuildOptions) -> Option<MemoryFolder> {
    let allowed = options.scratch_memory.unwrap_or_else(|| available(Path::new("/")) / 2);
    let packages: u64 = job.locked.lock.packages.iter().map(|package| package.size).sum();
    if allowed < packages.saturating_mul(GROWTH).saturating_add(REST) {
        return None;
    }
    // Whatever refuses it, the disk is not refused for that; or the sandbox over it says why.
    MemoryFolder::mount(job.scratch.path(), allowed).ok()
}

/// Whether a build failed for want of memory in its folder, and so may do on a disk.
pub(crate) fn was_full(memory: &MemoryFolder, error: &EngineError) -> bool {
    !matches!(error, EngineError::Sandbox(smolvm_sandbox::SandboxError::Cancelled))
        && memory.free_bytes().is_ok_and(|free| free < LITTLE)
}

/// Bytes of memory that this process can still use, by the machine and by the limits of its control groups; 0 where nobody says.
/// `root` is the file system's.
fn available(root: &Path) -> u64 {
    let machine = read(root, "proc/meminfo").and_then(|text| Some(field(&text, "MemAvailable:")? * 1024));
    groups(root)
        .iter()
        .filter_map(|group| left_in(group))
        .chain(machine)
        .min()
        .filter(|_| machine.is_some())
        .unwrap_or(0)
}

/// The folders of this process's control groups for memory, of both versions, and of all those above them.
fn groups(root: &Path) -> Vec<PathBuf> {
    let own = read(root, "proc/self/cgroup").unwrap_or_default();
    let of_line = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(":/")?;
        let top = match controllers {
            "" => root.join("sys/fs/cgroup"),
            _ if controllers.split(',').any(|name| name == "memory") => root.join("sys/fs/cgroup/memory"),
            _ => return None,
        };
        let above = |folder: &&Path| folder.starts_with(&top);
        Some(top.join(path).ancestors().take_while(above).map(Path::to_owned).collect::<Vec<_>>())
    };
    own.lines().filter_map(of_line).flatten().collect()
}

/// What a group's limit leaves; files that are only cached give way. Nothing where it has no limit.
fn left_in(group: &Path) -> Option<u64> {
    let number = |names: [&str; 2]| names.iter().find_map(|name| read(group, name)?.trim().parse::<u64>().ok());
    let limit = number(["memory.max", "memory.limit_in_bytes"])?;
    let used = number(["memory.current", "memory.usage_in_bytes"])?;
    let statistics = read(group, "memory.stat").unwrap_or_default();
    // In version 1, with all groups below, as the limit is.
    let sum = |names: [&str; 2]| names.iter().map(|name| field(&statistics, name)).sum::<Option<u64>>();
    let cached = sum(["total_inactive_file", "total_active_file"]).or_else(|| sum(["inactive_file", "active_file"]));
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok()).flatten())
}

fn read(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A file system with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn memory_is_what_the_machine_and_every_control_group_leave() {
        let machine = ("proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:  4194304 kB\n");
        let own = ("proc/self/cgroup", "0::/user/build\n");
        let limit = |max| ("sys/fs/cgroup/user/memory.max", max);
        let used = ("sys/fs/cgroup/user/memory.current", "734003200\n");
        let cached = ("sys/fs/cgroup/user/memory.stat", "anon 1\ninactive_file 104857600\nactive_file 104857600\n");
        let first = ("proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/build\n0::/\n");
        let first_limit = |bytes| ("sys/fs/cgroup/memory/memory.limit_in_bytes", bytes);
        let first_used = ("sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
        let of_all = "inactive_file 1\ntotal_inactive_file 52428800\ntotal_active_file 0\n";
        let first_cached = ("sys/fs/cgroup/memory/memory.stat", of_all);
        for (files, expected) in [
            (vec![], 0),
            (vec![machine], 4096 * MIB),
            (vec![machine, own, used], 4096 * MIB),
            (vec![machine, own, limit("max\n"), used], 4096 * MIB),
            (vec![machine, own, limit("1073741824\n"), used], 324 * MIB),
            (vec![machine, own, limit("1073741824\n"), used, cached], 524 * MIB),
            (vec![machine, own, limit("104857600\n"), used], 0),
            (vec![own, limit("1073741824\n"), used], 0),
            (vec![machine, first, first_limit("9223372036854771712\n"), first_used], 4096 * MIB),
            (vec![machine, first, first_limit("314572800\n"), first_used], 200 * MIB),
            (vec![machine, first, first_limit("314572800\n"), first_used, first_cached], 250 * MIB),
        ] {
            assert_eq!(available(root(&files).path()), expected, "{files:?}");
        }
    }
}

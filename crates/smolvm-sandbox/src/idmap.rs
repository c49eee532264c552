//! Which ids outside the ids inside stand for.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use crate::SandboxError;
use crate::host::Identity;

/// Ids that an image may use besides root's: 1 to 65535.
const NEEDED: u64 = 65_535;

/// Where the setuid helpers are, whatever the `PATH` of a build is.
const HELPER_FOLDERS: [&str; 6] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin"];

const SUBUID: &str = "/etc/subuid";
const SUBGID: &str = "/etc/subgid";

/// The maps of a sandbox, ready to be written once its process exists.
#[derive(Debug)]
pub(crate) enum Maps {
    /// Written to `/proc` by ourselves, as root may: every id stands for itself.
    Identity { uids: String, gids: String },
    /// Written by the helpers, which check the tables of sub-ids.
    Helpers { helpers: (String, String), uids: Vec<String>, gids: Vec<String> },
}

impl Maps {
    /// Looks up what is needed, or says what is missing.
    pub(crate) fn plan(identity: Identity) -> Result<Self, SandboxError> {
        let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
        match identity {
            Identity::Root => Ok(Self::Identity {
                uids: every_id(&read("/proc/self/uid_map")),
                gids: every_id(&read("/proc/self/gid_map")),
            }),
            Identity::SubIds => {
                let helper = |name| find_helper(name, &HELPER_FOLDERS.map(Path::new));
                let helpers = (helper("newuidmap")?, helper("newgidmap")?);
                let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                let user = user_name(uid, &read("/etc/passwd"));
                let (uid_table, gid_table) = (read(SUBUID), read(SUBGID));
                let map = |own: u32, file: &'static str, table: &str| {
                    sub_ids(table, &user, uid).map(|ranges| arguments(own, &ranges)).map_err(|found| {
                        SandboxError::NoSubIds {
                            user: user.clone(),
                            file,
                            found,
                            needed: NEEDED,
                            free_uids: free_range(&uid_table),
                            free_gids: free_range(&gid_table),
                        }
                    })
                };
                let (uids, gids) = (map(uid, SUBUID, &uid_table)?, map(gid, SUBGID, &gid_table)?);
                Ok(Self::Helpers { helpers, uids, gids })
            }
        }
    }

    /// Gives the maps to the process, which waits for them.
    pub(crate) fn write(&self, process: Pid) -> Result<(), SandboxError> {
        let pid = process.as_raw_nonzero().to_string();
        match self {
            Self::Identity { uids, gids } => {
                for (file, map) in [("uid_map", uids), ("gid_map", gids)] {
                    // One write, which the kernel asks for. `std`, since the map exists.
                    std::fs::write(format!("/proc/{pid}/{file}"), map)
                        .map_err(|error| SandboxError::IdMap { reason: format!("writing {file}: {error}") })?;
                }
                Ok(())
            }
            Self::Helpers { helpers, uids, gids } => {
                run_helper(&helpers.0, &pid, uids)?;
                run_helper(&helpers.1, &pid, gids)
            }
        }
    }
}

fn run_helper(helper: &str, pid: &str, map: &[String]) -> Result<(), SandboxError> {
    let output = Command::new(helper).arg(pid).args(map).env_clear().stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(SandboxError::IdMap { reason: String::from_utf8_lossy(&output.stderr).trim().to_owned() }),
        Err(error) => Err(SandboxError::IdMap { reason: format!("{helper}: {error}") }),
    }
}

fn find_helper(name: &'static str, folders: &[&Path]) -> Result<String, SandboxError> {
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .map(|path| path.to_string_lossy().into_owned())
        .ok_or(SandboxError::MissingHelper { helper: name })
}

/// "All ids that we have, as they are": the first and third number of each line of our own map.
fn every_id(own_map: &str) -> String {
    let mut map = String::new();
    for line in own_map.lines() {
        if let [first, _, count] = line.split_whitespace().collect::<Vec<_>>()[..] {
            map.extend([first, " ", first, " ", count, "\n"]);
        }
    }
    map
}

/// A user's name by the password file, or as the system's other sources have it.
fn user_name(uid: u32, passwd: &str) -> String {
    let name_in = |text: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
    };
    let ask = || {
        let output = Command::new("/usr/bin/getent").args(["passwd", &uid.to_string()]).env_clear().output().ok()?;
        name_in(&String::from_utf8_lossy(&output.stdout))
    };
    name_in(passwd).or_else(ask).unwrap_or_else(|| uid.to_string())
}

/// The ranges that a table gives a user, by name or number, as far as they are needed; or how many ids it gives.
fn sub_ids(table: &str, user: &str, uid: u32) -> Result<Vec<(u64, u64)>, u64> {
    let mut ranges = Vec::new();
    let mut have = 0;
    for (start, count) in
        entries(table).filter(|entry| entry.0 == user || entry.0.parse() == Ok(uid)).map(|entry| entry.1)
    {
        let count = count.min(NEEDED - have);
        if count > 0 {
            ranges.push((start, count));
            have += count;
        }
    }
    if have == NEEDED { Ok(ranges) } else { Err(have) }
}

fn entries(table: &str) -> impl Iterator<Item = (&str, (u64, u64))> {
    table.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (user, start, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((user, (start.parse().ok()?, count.parse().ok()?)))
    })
}

/// The helpers' arguments: root inside is ourselves, the others are sub-ids.
fn arguments(own: u32, ranges: &[(u64, u64)]) -> Vec<String> {
    let mut arguments = vec!["0".to_owned(), own.to_string(), "1".to_owned()];
    let mut inside = 1;
    for (start, count) in ranges {
        arguments.extend([inside.to_string(), start.to_string(), count.to_string()]);
        inside += count;
    }
    arguments
}

/// 65,536 ids above all that the table gives away, for `usermod`.
fn free_range(table: &str) -> String {
    let start = entries(table).map(|(_, (start, count))| start + count).max().unwrap_or(0).max(100_000);
    format!("{start}-{}", start + NEEDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "alice:100000:65536\nbob:165536:1000\n1002:200000:65535\nbob:300000:70000\ncarol:1:2\n";

    #[test]
    fn ranges_are_found_by_name_and_number_and_summed() {
        assert_eq!(sub_ids(TABLE, "alice", 1000), Ok(vec![(100_000, 65_535)]));
        assert_eq!(sub_ids(TABLE, "bob", 1001), Ok(vec![(165_536, 1000), (300_000, 64_535)]));
        assert_eq!(sub_ids(TABLE, "dave", 1002), Ok(vec![(200_000, 65_535)]));
        assert_eq!(sub_ids(TABLE, "carol", 1003), Err(2));
        assert_eq!(sub_ids("", "carol", 1003), Err(0));
    }

    #[test]
    fn helpers_get_root_first_then_the_ranges_in_a_row() {
        let arguments = arguments(1001, &[(165_536, 1000), (300_000, 64_535)]);
        assert_eq!(arguments.join(" "), "0 1001 1 1 165536 1000 1001 300000 64535");
    }

    #[test]
    fn the_range_of_the_help_is_nobodys() {
        assert_eq!(free_range(TABLE), "370000-435535");
        assert_eq!(free_range(""), "100000-165535");
    }

    #[test]
    fn root_maps_what_it_has() {
        assert_eq!(every_id("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(every_id("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }

    #[test]
    fn a_missing_helper_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = find_helper("newuidmap", &[folder.path()]).expect_err("it is not there");
        assert!(error.is_host_problem());
        assert!(error.to_string().contains("newuidmap"), "{error}");
    }
}

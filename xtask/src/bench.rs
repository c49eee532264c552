//! `cargo xtask bench`: smolvm beside what people would take instead, in one run on one machine, into `docs/benchmarks.md`.

mod conditions;
mod figures;
mod measure;
mod page;
mod peers;
mod rows;
mod workload;

use std::cell::Cell;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::conditions::conditions;
use self::measure::Bench;
use self::peers::{Peers, Wanted};
use self::rows::{Row, Rows};
use crate::process::{cargo, run};
use crate::{Result, say, top};

/// What is measured, and how often.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often each contender has its turn
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Measure these rows alone, and leave the page as it is
    #[arg(long, value_name = "ROW", value_enum, num_args = 1..)]
    only: Vec<Row>,
}

/// What a reader has to know beside the figures.
const NOTES: [&str; 8] = [
    "W1 is Debian bookworm for amd64 with openssh-server, iproute2, curl, bash, ca-certificates and python3, without recommends, as an ext4 file system of 2 GiB. \
     `to ext4`: the kernel is a file that is there, since the other tools make none or are handed one. In all other rows smolvm also fetches and unpacks Debian's kernel, \
     and makes its initrd.",
    "Times are of the whole process, by hyperfine without a shell. Cold means empty folders for images, downloads and HOME; the machine's page cache is left as \
     it is. Before each run `sync` is awaited.",
    "Everything is resolved anew in the rows of W1 and of 20 Smolfiles, with no lock beside the Smolfile, by smolvm as by rdebootstrap.",
    "rdebootstrap reads the suite bookworm alone, smolvm also bookworm-updates and bookworm-security. mkext4 is that crate's example `mkfs`.",
    "SmolVM's ImageBuilder runs `build_debian_ssh_key` with its base image there already, made by mmdebstrap; local files stand in for the kernel and the guest \
     agent that it would fetch, which costs it less. Its builds use the host's network.",
    "SmolVM's ImageBuilder has no variables, keys or files to change: what it does after any change is at least what it does when only the size changed, with \
     Docker's layers cached.",
    "One package more: the package is not downloaded yet. Each of 20: one command with 20 Smolfiles less one command with the first alone, both with an empty \
     store and cached downloads, divided by 19.",
    "Peak memory is the maximum resident set that `wait4` reports: of the process itself or of the largest of its children, whichever is more, not of all together; \
     and what file systems in memory took at a time (`Shmem` of `/proc/meminfo`), in which smolvm builds.",
];

/// Measures, and writes the page where everything was measured.
pub(crate) fn bench(arguments: &Arguments) -> Result {
    let rows: Vec<Row> = Row::value_variants()
        .iter()
        .copied()
        .filter(|row| arguments.only.is_empty() || arguments.only.contains(row))
        .collect();
    run(cargo(&["build", "--release", "--locked"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from);
    let smolvm = target.join("release/smolvm");
    let folder = target.join("bench/run");
    peers::remove(&folder)?;
    let mut bench = Bench { folder: folder.clone(), environment: environment(&folder)?, rounds: arguments.rounds };
    let any = |of: &[Row]| rows.iter().any(|row| of.contains(row));
    let wanted = Wanted {
        trees: any(&[Row::Cold, Row::Cached]),
        builder: any(&[Row::Cold, Row::Env, Row::Key, Row::File]),
        cli: any(&[Row::Nothing]),
    };
    let peers = Peers::prepare(&target.join("bench/peers"), wanted, &mut bench, &smolvm)?;
    let conditions = conditions(&smolvm, arguments.rounds, &folder);
    let measuring = Rows { bench: &bench, peers: &peers, smolvm, counter: Cell::new(0) };
    let mut lines = Vec::new();
    let mut failures = Vec::new();
    for row in rows {
        let name = row.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        say(&format!("== {name}"));
        match measuring.measure(row) {
            Ok(measured) => lines.extend(measured),
            Err(error) => {
                say(&format!("failed: {error}"));
                failures.push(name);
            }
        }
    }
    peers::remove(&folder)?;
    say(&page::table(&lines));
    if !failures.is_empty() {
        return Err(format!("not measured: {}; docs/benchmarks.md is as it was", failures.join(", ")).into());
    }
    if !arguments.only.is_empty() {
        say("not all rows: docs/benchmarks.md is as it was");
        return Ok(());
    }
    page::write(&page::render(&conditions, &NOTES, &lines))
}

/// Nothing of the user's: an empty HOME, a store and a cache of the bench's own.
fn environment(folder: &std::path::Path) -> Result<Vec<(&'static str, String)>> {
    let places = [
        ("HOME", "home"),
        ("SMOLVM_IMAGE_DIR", "store"),
        ("SMOLVM_CACHE_DIR", "cache"),
        ("XDG_CACHE_HOME", "home/.cache"),
        ("XDG_CONFIG_HOME", "home/.config"),
    ];
    fs_err::create_dir_all(folder.join("home"))?;
    Ok(places.iter().map(|(name, place)| (*name, folder.join(place).display().to_string())).collect())
}

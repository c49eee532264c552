//! What things cost: `cargo test -p smolvm-sandbox --test it -- --ignored --nocapture costs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use smolvm_sandbox::{Network, PlaceOp, SandboxCommand};

use crate::support::{directory, sandbox, start_in};

const FOLDERS: usize = 600;
const FILES_EACH: usize = 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What the agent of the only session used of a processor: on a busy machine, the time that passes says little.
fn agent_cpu() -> Duration {
    let fields = |pid: &str| -> Vec<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').map(str::to_owned).collect()
    };
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let mut pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let agent = pids.find(|pid| fields(pid).get(1).is_some_and(|above| fields(above).get(1) == Some(&own)));
    let stat = fields(&agent.expect("an agent"));
    let ticks: u64 = stat[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn timed<T>(body: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = body();
    (start.elapsed(), result)
}

#[test]
#[ignore = "a measurement"]
fn costs() {
    let Some(mut sandbox) = sandbox() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let scratch = folder.path().join("s");
    let starts = (0..21).map(|_| timed(|| start_in(&scratch, Network::None)).0).collect();
    println!("start, no network: {:?}", median(starts));
    let starts = (0..21).map(|_| timed(|| start_in(&scratch, Network::Host)).0).collect();
    println!("start, host's network: {:?}", median(starts));

    let command = SandboxCommand::new(["/bin/true"], Vec::new());
    let runs = (0..101).map(|_| timed(|| sandbox.run(&command)).0).collect();
    println!("run of /bin/true: {:?}", median(runs));

    for round in 0..5 {
        let ops = package_like(&sandbox.scratch, round);
        let cpu = agent_cpu();
        let time = timed(|| sandbox.place(&ops)).0;
        println!("place of {} operations: {time:?}, cpu {:?}", ops.len(), agent_cpu().saturating_sub(cpu));
    }
    for round in 1..5 {
        sandbox.place(&[PlaceOp::Remove { path: format!("usr/share/{round}") }]);
    }
    let count = sandbox.session().harvest().expect("a harvest").len();
    let cpu = agent_cpu();
    let harvests = (0..11).map(|_| timed(|| sandbox.session().harvest().expect("a harvest")).0).collect();
    println!(
        "harvest of {count} names: {:?}, cpu of the agent {:?}",
        median(harvests),
        agent_cpu().saturating_sub(cpu) / 11
    );
}

/// As unpacking leaves them: mode and time are right already.
fn package_like(scratch: &Path, round: usize) -> Vec<PlaceOp> {
    let mtime = UNIX_EPOCH + Duration::from_secs(1000);
    let mut ops = vec![directory(&format!("usr/share/{round}"))];
    for folder in 0..FOLDERS {
        let above = format!("usr/share/{round}/{folder}");
        ops.push(directory(&above));
        for file in 0..FILES_EACH {
            let content = format!("content/{round}-{folder}-{file}");
            std::fs::write(scratch.join(&content), "some text").expect("content");
            let opened = std::fs::File::options().write(true).open(scratch.join(&content)).expect("content");
            opened.set_modified(mtime).expect("a time");
            let path = format!("{above}/{file}");
            ops.push(PlaceOp::File {
                path,
                content,
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: 1000,
                xattrs: BTreeMap::new(),
            });
        }
    }
    ops
}

//! What things cost: `cargo test -p smolvm-sandbox --test it -- --ignored --nocapture costs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use smolvm_sandbox::{Network, PlaceOp, SandboxCommand};

use crate::support::{directory, sandbox, start_in};

const FOLDERS: usize = 600;
const FILES_EACH: usize = 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
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

    let mut ops = Vec::new();
    for folder in 0..FOLDERS {
        ops.push(directory(&format!("usr/share/d{folder}")));
        for file in 0..FILES_EACH {
            let content = format!("content/{folder}-{file}");
            std::fs::write(sandbox.scratch.join(&content), "some text").expect("content");
            let path = format!("usr/share/d{folder}/f{file}");
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
    let (time, ()) = timed(|| sandbox.place(&ops));
    println!("place of {} operations: {time:?}", ops.len());
    let harvests = (0..11).map(|_| timed(|| sandbox.session().harvest().expect("a harvest")).0).collect();
    let count = sandbox.session().harvest().expect("a harvest").len();
    println!("harvest of {count} names: {:?}", median(harvests));
}

//! How sessions and commands end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use smolvm_sandbox::{CommandStatus, Network, SandboxError};

use crate::support::{can_run, processes_with, sandbox, shell, soon, start_in};

#[test]
fn exit_codes_and_signals_come_back() {
    let Some(mut sandbox) = sandbox() else { return };
    assert_eq!(sandbox.sh("exit 7").1, CommandStatus::Exited(7));
    assert_eq!(sandbox.sh("kill -9 $$").1, CommandStatus::Signalled(9));
    assert_eq!(sandbox.sh("exit 0").1, CommandStatus::Exited(0));
}

#[test]
fn output_comes_as_it_is_written_and_whole() {
    let Some(mut sandbox) = sandbox() else { return };
    let start = Instant::now();
    let mut first = None;
    let mut all: Vec<u8> = Vec::new();
    let script = shell("echo early; sleep 1; echo late >&2");
    let status = sandbox.session().run(&script, &mut |bytes| {
        first.get_or_insert_with(|| start.elapsed());
        all.extend(bytes);
    });
    assert!(status.expect("a run").success());
    assert_eq!(all, b"early\nlate\n");
    assert!(first.expect("output") < Duration::from_millis(900), "{first:?}");
    assert_eq!(sandbox.out("yes | head -c 3000000").len(), 3_000_000);
}

#[test]
fn background_processes_end_with_the_command() {
    let Some(mut sandbox) = sandbox() else { return };
    let mark = format!("300.{}", std::process::id());
    let start = Instant::now();
    // One that holds the output, and one in a session of its own.
    sandbox
        .out(&format!("sleep {mark} & setsid sleep {mark} & sleep {mark} < /dev/null > /dev/null 2>&1 & echo started"));
    assert!(start.elapsed() < Duration::from_mins(1));
    assert_eq!(processes_with(&mark), 0);
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let Some(mut sandbox) = sandbox() else { return };
    let script = "(sleep 0.1 & echo $! > /tmp/pid); sleep 0.5; test ! -e /proc/$(cat /tmp/pid)";
    sandbox.out(script);
}

#[test]
fn cancelling_kills_the_command_and_refuses_more() {
    let Some(mut sandbox) = sandbox() else { return };
    let mark = format!("301.{}", std::process::id());
    let canceller = sandbox.session().canceller();
    let thread = std::thread::spawn({
        let mark = mark.clone();
        move || {
            soon("the command starts", || processes_with(&mark) > 0);
            canceller.cancel();
        }
    });
    let start = Instant::now();
    let result = sandbox.session().run(&shell(&format!("trap '' TERM INT; sleep {mark}")), &mut |_| {});
    assert!(matches!(result, Err(SandboxError::Cancelled)), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    thread.join().expect("the thread");
    assert_eq!(processes_with(&mark), 0);
    assert!(matches!(sandbox.session().run(&shell("true"), &mut |_| {}), Err(SandboxError::Cancelled)));
    assert!(matches!(sandbox.session().place(&[]), Err(SandboxError::Cancelled)));
}

#[test]
fn a_session_dropped_in_the_middle_of_a_command_ends_it() {
    let Some(mut sandbox) = sandbox() else { return };
    let mark = format!("302.{}", std::process::id());
    let script = shell(&format!("echo go; sleep {mark}"));
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut session = sandbox.session.take().expect("a session");
        session.run(&script, &mut |_| panic!("the caller gives up"))
    }));
    assert!(unwound.is_err());
    assert_eq!(processes_with(&mark), 0);
}

#[test]
fn nothing_outlives_a_killed_parent() {
    if !can_run() {
        return;
    }
    let mark = format!("303.{}", std::process::id());
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "life::sleeps_for_another_test", "--nocapture"])
        .env("SMOLVM_TEST_SLEEP", &mark)
        .env("SMOLVM_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    soon("the command starts", || processes_with(&mark) > 0);
    child.kill().expect("to be killed");
    child.wait().expect("to have ended");
    soon("the command ends", || processes_with(&mark) == 0);
    smolvm_sandbox::remove_tree(&folder.path().join("scratch")).expect("the folder to be removed");
}

/// The child of [`nothing_outlives_a_killed_parent`].
#[test]
fn sleeps_for_another_test() {
    let (Ok(mark), Some(folder)) = (std::env::var("SMOLVM_TEST_SLEEP"), std::env::var_os("SMOLVM_TEST_FOLDER")) else {
        return;
    };
    let scratch = std::path::Path::new(&folder).join("scratch");
    let mut session = start_in(&scratch, Network::None);
    std::fs::copy(crate::support::BUSYBOX, scratch.join("root/sleep")).expect("busybox");
    let _ = session.run(&smolvm_sandbox::SandboxCommand::new(["/sleep", &mark], Vec::new()), &mut |_| {});
}

#[test]
fn the_agent_keeps_nothing_of_its_parent_open() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lock");
    let lock = std::fs::File::create(&path).expect("a file");
    lock.lock().expect("a lock");
    let session = start_in(&folder.path().join("scratch"), Network::None);
    drop(lock);
    std::fs::File::open(&path).expect("a file").try_lock().expect("nobody has the lock any more");
    session.close();
    smolvm_sandbox::remove_tree(&folder.path().join("scratch")).expect("the folder to be removed");
}

#[test]
fn sessions_are_independent_and_start_in_many_threads() {
    if !can_run() {
        return;
    }
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut sandbox = sandbox().expect("a sandbox");
                for _ in 0..5 {
                    assert_eq!(sandbox.out("echo $(hostname)"), "builder\n");
                }
            });
        }
    });
}

use std::time::{Duration, Instant};

use super::*;

/// A program that writes its process number and then does nothing for long.
const PROGRAM: &str = "echo $$; exec sleep 1000";

struct Running {
    guardian: Guardian,
    /// What the program's folder would be; and where its output is.
    folder: tempfile::TempDir,
    output: tempfile::NamedTempFile,
}

fn start(script: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let output = tempfile::NamedTempFile::new().unwrap();
    let arguments = [OsString::from("-c"), OsString::from(script)];
    let guardian =
        Guardian::start("/bin/sh".as_ref(), &arguments, folder.path(), None, output.reopen().unwrap()).unwrap();
    Running { guardian, folder, output }
}

impl Running {
    async fn program(&self) -> Pid {
        let output = self.output.path().to_owned();
        eventually(|| fs_err::read_to_string(&output).unwrap().ends_with('\n')).await;
        Pid::from_raw(fs_err::read_to_string(&output).unwrap().trim().parse().unwrap()).unwrap()
    }
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn runs(program: Pid) -> bool {
    // A killed program whose parent ended stays a zombie where nobody reaps orphans.
    let status = std::fs::read_to_string(format!("/proc/{}/stat", program.as_raw_nonzero())).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[tokio::test]
async fn the_programs_status_is_the_guardians() {
    assert_eq!(start("exit 7").guardian.wait().await.unwrap().code(), Some(7));
    let folder = tempfile::tempdir().unwrap();
    let output = tempfile::tempfile().unwrap();
    let mut missing = Guardian::start("smolvm-no-such-program".as_ref(), &[], folder.path(), None, output).unwrap();
    assert_eq!(missing.wait().await.unwrap().code(), Some(127));
    assert!(folder.path().exists(), "the folder is removed by whoever made it");
}

#[tokio::test]
async fn the_program_sees_no_terminal_and_its_overlay_goes_to_the_folder() {
    let mut running = start("echo $TMPDIR; cat; ls -l /proc/self/fd/3 2>&1");
    running.guardian.wait().await.unwrap();
    let output = fs_err::read_to_string(running.output.path()).unwrap();
    assert_eq!(output.lines().next(), running.folder.path().to_str());
    assert!(output.contains("No such file"), "it holds its own lifeline: {output}");
}

#[tokio::test]
async fn the_program_is_killed_when_asked_and_when_dropped() {
    let mut running = start(PROGRAM);
    let program = running.program().await;
    running.guardian.kill().await.unwrap();
    eventually(|| !runs(program)).await;

    let running = start(PROGRAM);
    let program = running.program().await;
    drop(running.guardian);
    eventually(|| !runs(program)).await;
}

#[tokio::test]
async fn when_this_process_is_killed_the_program_dies_and_the_folder_goes() {
    let mut running = start(PROGRAM);
    let program = running.program().await;
    // What the kernel does with our end of the pipe when we are killed.
    drop(running.guardian.lifeline.take());
    eventually(|| !runs(program)).await;
    let folder = running.folder.path().to_owned();
    eventually(|| !folder.exists()).await;
    assert!(!running.guardian.wait().await.unwrap().success());
}

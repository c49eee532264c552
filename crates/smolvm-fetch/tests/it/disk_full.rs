//! A full disk, which takes a file system of its own: this test binary starts itself again in namespaces where it may mount one.

use std::process::Command;

use smolvm_fetch::FetchError;

use crate::server::{Server, file};
use crate::support::{Bench, content, mirrors, wanted};

const INSIDE: &str = "SMOLVM_TEST_SMALL_DISK";

#[test]
fn a_full_disk_has_an_error_of_its_own() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return on_a_full_disk(folder.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk_full::a_full_disk_has_an_error_of_its_own", "--nocapture"])
        .env(INSIDE, folder.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the test inside was not found");
        }
        Ok(output)
            if output.status.code() == Some(77) || String::from_utf8_lossy(&output.stderr).contains("unshare") =>
        {
            eprintln!("skipped: this host lets nobody mount a file system in a user namespace");
        }
        Ok(output) => panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("skipped: unshare cannot be run ({error})"),
    }
}

fn on_a_full_disk(folder: &std::path::Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (bench, content) = (Bench::new(), content(1_000_000));
        let server = Server::start({
            let content = content.clone();
            move |request| file(request, &content, &[])
        })
        .await;
        let mut options = bench.options();
        options.cache = folder.to_owned();
        let fetcher = smolvm_fetch::Fetcher::new(options);
        let (wanted, mirrors) = (wanted(&content), mirrors(&[&server]));
        let error = fetcher.fetch(&wanted, &mirrors).await.unwrap_err();
        assert!(matches!(error, FetchError::DiskFull { .. }) && error.is_host_fault(), "{error:?}");
        assert_eq!(server.requests().len(), 1, "asking again does not make room");
        // What fitted is kept, and is not damaged: with room, the rest alone is asked for.
        let left = folder.join("partial").join(hex::encode(wanted.sha256));
        let kept = fs_err::read(&left).unwrap();
        assert!(!kept.is_empty() && content.starts_with(&kept));
    });
}

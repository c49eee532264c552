//! Machines that lack something.

use std::process::{Command, Stdio};

use miette::Diagnostic;
use smolvm_sandbox::{Identity, check_host};

use crate::support::can_run;

#[test]
fn this_machine_will_do() {
    if !can_run() {
        return;
    }
    let expected = if rustix::process::geteuid().is_root() { Identity::Root } else { Identity::SubIds };
    assert_eq!(check_host().expect("it will do"), expected);
}

/// Says what [`check_host`] says, for other tests and other circumstances.
#[test]
fn reports_for_another_test() {
    match check_host() {
        Ok(identity) => println!("fine: {identity:?}"),
        Err(error) => {
            assert!(error.is_host_problem());
            let show =
                |part: Option<Box<dyn std::fmt::Display + '_>>| part.map(|part| part.to_string()).unwrap_or_default();
            println!("{}\n{error}\n{}", show(error.code()), show(error.help()));
        }
    }
}

/// What [`check_host`] says in circumstances that a shell script makes; `$0` is this program, its arguments follow.
fn report_under(script: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let output = Command::new("unshare")
        .args(["--mount", "--user", "--map-root-user", "sh", "-ec", script])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "host::reports_for_another_test", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_setting_that_forbids_namespaces_is_named() {
    // The limit is one per user namespace, so that it is nobody else's.
    let Some(report) = report_under("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"") else { return };
    assert!(report.contains("smolvm::sandbox::user_namespaces_disabled"), "{report}");
    assert!(report.contains("user.max_user_namespaces is 0"), "{report}");
}

#[test]
fn a_container_that_forbids_namespaces_is_told_apart() {
    // A process whose root is not its namespace's may not make user namespaces, whoever it is.
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display();
    let script = format!("mount --rbind / {root}; exec chroot {root} \"$0\" \"$@\"");
    let Some(report) = report_under(&script) else { return };
    assert!(report.contains("smolvm::sandbox::not_permitted"), "{report}");
    assert!(report.contains("--privileged"), "{report}");
}

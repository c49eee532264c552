//! The judges.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a tool of e2fsprogs, or says on stderr why not.
pub(crate) fn run(tool: &str, arguments: &[&str], image: &Path) -> Option<Output> {
    let Some(program) =
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists())
    else {
        eprintln!(
            "skipped a check of {}: `{tool}` is not installed (Debian's package e2fsprogs has it)",
            image.display()
        );
        return None;
    };
    Some(Command::new(program).args(arguments).arg(image).env("LC_ALL", "C").output().unwrap())
}

/// Fails the test if `e2fsck -fn` finds anything.
pub(crate) fn assert_clean(image: &Path) {
    if let Some(output) = run("e2fsck", &["-fn"], image) {
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "e2fsck -fn: {}\n{text}", output.status);
        assert!(!text.contains("WARNING"), "e2fsck -fn warns:\n{text}");
    }
}

/// The answer of one `debugfs` command.
pub(crate) fn debugfs(image: &Path, command: &str) -> Option<String> {
    run("debugfs", &["-R", command], image).map(|output| String::from_utf8(output.stdout).unwrap())
}

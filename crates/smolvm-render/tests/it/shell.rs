//! The shells that run init: Debian's and Alpine's.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A shell that a guest may have as `/bin/sh`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shell {
    words: &'static [&'static str],
    package: &'static str,
}

const SHELLS: [Shell; 2] =
    [Shell { words: &["dash"], package: "dash" }, Shell { words: &["busybox", "ash"], package: "busybox-static" }];

impl Shell {
    /// Those that are here. In CI all have to be.
    pub(crate) fn all() -> Vec<Self> {
        SHELLS.into_iter().filter(Self::is_here).collect()
    }

    #[expect(clippy::print_stderr, reason = "the log of a run must say what was not run")]
    fn is_here(&self) -> bool {
        let here = self.command().args(["-c", ":"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !here {
            assert!(std::env::var_os("CI").is_none(), "CI lacks {self:?}");
            eprintln!("skipped for {:?}: this machine lacks it; Debian's package is {}", self.words, self.package);
        }
        here
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.words[0]);
        command.args(&self.words[1..]);
        command
    }

    /// Runs a script that has the functions of init, in a folder.
    pub(crate) fn with_init(&self, folder: &Path, init: &str, script: &str) -> Output {
        std::fs::write(folder.join("init"), init).unwrap();
        let script = format!(". ./init\n{script}");
        self.command().args(["-c", &script]).current_dir(folder).stdin(Stdio::null()).output().unwrap()
    }

    /// What such a script prints, on either stream, where it ends well.
    #[track_caller]
    pub(crate) fn prints(&self, folder: &Path, init: &str, script: &str) -> String {
        let output = self.with_init(folder, init, script);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{self:?} ended with {}: {text}\n{script}", output.status);
        text
    }
}

//! Running the binary, and showing all that came of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The binary, in a folder, with an empty environment but for PATH and a home that is that folder.
pub(crate) fn smolvm(folder: &Path) -> Command {
    smolvm_at(Path::new(env!("CARGO_BIN_EXE_smolvm")), folder)
}

/// A copy of the binary, likewise.
pub(crate) fn smolvm_at(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(folder).env_clear().env("HOME", folder);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // A test machine may reach its mirror through a proxy alone.
    for name in ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What a run of the binary came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The envelope on stdout.
    #[track_caller]
    pub(crate) fn envelope(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no envelope ({error}):\n{self}"))
    }

    /// The data of an envelope that says all is well.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        let envelope = self.envelope();
        assert_eq!(envelope["ok"], true, "{self}");
        envelope["data"].clone()
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code: {code}")?,
            None => writeln!(f, "killed by a signal")?,
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn ran(command: &mut Command) -> Ran {
    command.output().expect("the program starts").into()
}

/// Runs the binary in a folder with these words.
#[track_caller]
pub(crate) fn run(folder: &Path, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    ran(smolvm(folder).args(words))
}

/// A folder with a Smolfile in it, called `project` so that the default name repeats.
pub(crate) fn project(smolfile: &str) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = scratch.path().join("project");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("Smolfile.yaml"), smolfile).expect("a Smolfile");
    (scratch, folder)
}

/// Compares all that a run came to with a snapshot (inline, or in a file of this name), the folder's name taken out.
#[macro_export]
macro_rules! snapshot {
    ($folder:expr, $ran:expr, @$inline:literal) => {
        $crate::snapshot!($folder, insta::assert_snapshot!($ran.to_string(), @$inline))
    };
    ($folder:expr, $ran:expr, $name:expr) => {
        $crate::snapshot!($folder, insta::assert_snapshot!($name, $ran.to_string()))
    };
    ($folder:expr, $assert:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.add_filter(&regex_of($folder), "[FOLDER]");
        settings.add_filter(r"\b(amd64|arm64)\b", "[ARCH]");
        settings.add_filter(r"smolvm \d+\.\d+\.\d+", "smolvm [VERSION]");
        settings.bind(|| $assert);
    }};
}

/// A folder's name as a pattern that matches nothing else.
pub(crate) fn regex_of(folder: &Path) -> String {
    folder
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") })
        .collect()
}

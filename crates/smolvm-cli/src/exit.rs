//! Exit codes: part of the interface, written down in `docs/cli.md`.

use smolvm_build::FailureClass;

/// How the process ends. `run` adds the codes of the command that it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// What was asked for failed: a script, a step, a download, a guest that did not come up.
    Failed = 1,
    /// The input is wrong: usage, manifest, lock, a name.
    Input = 2,
    /// The host lacks something: user namespaces, QEMU, space.
    Host = 3,
    /// Somebody pressed Ctrl-C or sent SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The number that the caller of smolvm sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<FailureClass> for Exit {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Build => Self::Failed,
            FailureClass::Input => Self::Input,
            FailureClass::Host => Self::Host,
        }
    }
}

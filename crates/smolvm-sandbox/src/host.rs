//! What this machine lets us do, and why not if it does not.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::SandboxError;
use crate::wire::{At, Failure};

/// What lets this process make a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// It is root: ids inside are the ids outside.
    Root,
    /// It is an ordinary user: root inside is that user, all other ids are sub-ids.
    SubIds,
}

/// Who we are.
pub(crate) fn identity() -> Identity {
    if rustix::process::geteuid().is_root() { Identity::Root } else { Identity::SubIds }
}

/// Why a sandbox could not be made: the step that failed tells that, the machine's settings tell why.
pub(crate) fn explain(failure: Failure, identity: Identity, scratch: &Path) -> SandboxError {
    let setting = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let program = std::fs::read_link("/proc/self/exe").map(|path| path.display().to_string());
    judge(failure, identity, scratch, &setting, program.unwrap_or_else(|_| "/usr/bin/smolvm".to_owned()))
}

fn judge(
    failure: Failure,
    identity: Identity,
    scratch: &Path,
    setting: &dyn Fn(&str) -> Option<String>,
    program: String,
) -> SandboxError {
    let Failure { at, what, errno } = failure;
    let source = io::Error::from_raw_os_error(errno);
    let errno = Errno::from_raw_os_error(errno);
    match at {
        At::Folder => {
            let reason = format!("{what}: {source}");
            return SandboxError::Folder { path: scratch.to_owned(), reason };
        }
        At::Setup => {}
        at => return Failure { at, what, errno: errno.raw_os_error() }.into(),
    }
    let refused = matches!(errno, Errno::PERM | Errno::ACCESS | Errno::NOSPC | Errno::USERS);
    if !refused {
        return match errno {
            Errno::NOSYS | Errno::INVAL | Errno::NODEV => SandboxError::Kernel { what, source },
            _ => SandboxError::Setup { what, source },
        };
    }
    let is_user = identity == Identity::SubIds;
    let clone = "kernel.unprivileged_userns_clone";
    if is_user && setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return SandboxError::NamespacesDisabled { setting: clone, value: "0".to_owned(), wanted: "1" };
    }
    for (name, path) in LIMITS {
        if setting(path).as_deref() == Some("0") {
            return SandboxError::NamespacesDisabled { setting: name, value: "0".to_owned(), wanted: "63000" };
        }
    }
    if is_user && setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return SandboxError::AppArmor { program };
    }
    match errno {
        Errno::NOSPC | Errno::USERS => SandboxError::Setup { what, source },
        _ => SandboxError::NotPermitted { what, source },
    }
}

/// How many namespaces of each kind there may be.
const LIMITS: [(&str, &str); 6] = [
    ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces"),
    ("user.max_mnt_namespaces", "/proc/sys/user/max_mnt_namespaces"),
    ("user.max_pid_namespaces", "/proc/sys/user/max_pid_namespaces"),
    ("user.max_net_namespaces", "/proc/sys/user/max_net_namespaces"),
    ("user.max_ipc_namespaces", "/proc/sys/user/max_ipc_namespaces"),
    ("user.max_uts_namespaces", "/proc/sys/user/max_uts_namespaces"),
];

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;

    /// The code of the error for a step that failed with `errno` on a machine with one telling setting.
    fn code(errno: Errno, identity: Identity, setting: (&str, &str)) -> String {
        let failure = Failure { at: At::Setup, what: "make namespaces".to_owned(), errno: errno.raw_os_error() };
        let read = |path: &str| path.ends_with(setting.0).then(|| setting.1.to_owned());
        let error = judge(failure, identity, Path::new("/scratch"), &read, "/usr/bin/smolvm".to_owned());
        assert!(error.is_host_problem(), "{error}");
        assert!(error.help().is_some(), "{error}");
        error.code().map(|code| code.to_string()).unwrap_or_default()
    }

    #[test]
    fn settings_explain_what_the_kernel_refused() {
        let (user, root) = (Identity::SubIds, Identity::Root);
        for (errno, identity, setting, expected) in [
            (Errno::PERM, user, ("unprivileged_userns_clone", "0"), "user_namespaces_disabled"),
            (Errno::PERM, root, ("unprivileged_userns_clone", "0"), "not_permitted"),
            (Errno::NOSPC, user, ("max_user_namespaces", "0"), "user_namespaces_disabled"),
            (Errno::NOSPC, root, ("max_net_namespaces", "0"), "user_namespaces_disabled"),
            (Errno::PERM, user, ("apparmor_restrict_unprivileged_userns", "1"), "apparmor_restricts_namespaces"),
            (Errno::ACCESS, user, ("apparmor_restrict_unprivileged_userns", "1"), "apparmor_restricts_namespaces"),
            (Errno::ACCESS, root, ("apparmor_restrict_unprivileged_userns", "1"), "not_permitted"),
            (Errno::PERM, user, ("apparmor_restrict_unprivileged_userns", "0"), "not_permitted"),
            (Errno::NOSYS, user, ("", ""), "kernel_too_old"),
            (Errno::INVAL, user, ("", ""), "kernel_too_old"),
            (Errno::NOMEM, root, ("", ""), "setup"),
        ] {
            assert_eq!(code(errno, identity, setting), format!("smolvm::sandbox::{expected}"), "{errno} {setting:?}");
        }
    }
}

//! The sshd drop-in.

use std::collections::BTreeMap;

use serde::Serialize;
use smolvm_manifest::{Manifest, Ssh};

use crate::error::RenderError;
use crate::templates::{SSHD, fill};

/// Read before every other drop-in: sshd keeps the first value of each setting.
pub(crate) const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-smolvm.conf";

/// The drop-in's text; `env` is the guest's.
pub(crate) fn drop_in(manifest: &Manifest, ssh: &Ssh, env: &BTreeMap<String, String>) -> Result<String, RenderError> {
    for (name, value) in env {
        if value.contains('\n') {
            return Err(RenderError::Inexpressible {
                field: format!("env.{name}"),
                character: "a line break",
                place: "sshd's `SetEnv`, which gives the environment to ssh commands,",
            });
        }
    }
    let values = SshdValues {
        root_password: ssh.password_hash.is_some(),
        passwords: ssh.password_hash.is_some() || manifest.users.iter().any(|user| user.password_hash.is_some()),
        env: env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
    };
    fill(SSHD, &values)
}

#[derive(Debug, Serialize)]
struct SshdValues {
    root_password: bool,
    /// Whether anybody has a password.
    passwords: bool,
    env: Vec<String>,
}

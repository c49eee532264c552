//! The script that the kernel starts as PID 1.

use serde::Serialize;
use smolvm_manifest::{ImageTools, LockedManifest, Tmp};

use crate::error::RenderError;
use crate::foundation::Foundation;
use crate::services::supervisor;
use crate::templates::{INIT, fill};

/// The script's text.
pub(crate) fn init(locked: &LockedManifest, foundation: &Foundation<'_>) -> Result<String, RenderError> {
    let manifest = &locked.manifest;
    let values = InitValues {
        busybox: foundation.tools != ImageTools::Apt,
        ssh: manifest.ssh.is_some(),
        supervisor: supervisor(&manifest.services, &foundation.env(&manifest.env))?,
        dns: manifest.dns.iter().map(ToString::to_string).collect(),
        empty_tmp: manifest.tmp == Tmp::Disk,
        epoch: locked.lock.epoch,
    };
    fill(INIT, &values)
}

#[derive(Debug, Serialize)]
struct InitValues {
    /// Whether the tools are busybox's, or unknown: what busybox understands, all others do.
    busybox: bool,
    ssh: bool,
    /// The functions that start, watch and stop the services; nothing where there are none.
    supervisor: String,
    dns: Vec<String>,
    empty_tmp: bool,
    /// Seconds since 1970 before which this image did not exist.
    epoch: i64,
}

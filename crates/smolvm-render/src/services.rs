//! The part of init that runs the Smolfile's services.

use std::collections::BTreeMap;

use serde::Serialize;
use smolvm_manifest::Service;

use crate::error::RenderError;
use crate::templates::{SERVICES, fill};

/// How large a service's log may grow before it is cut; what was cut off is kept once, so that two of these is the most that
/// remains.
const LOG_LIMIT: u64 = 1 << 20;

/// Functions that start, watch and stop services; `env` is the guest's.
pub(crate) fn supervisor(services: &[Service], env: &BTreeMap<String, String>) -> Result<String, RenderError> {
    if services.is_empty() {
        return Ok(String::new());
    }
    fill(SERVICES, &Values { services, env, log_limit: LOG_LIMIT })
}

#[derive(Debug, Serialize)]
struct Values<'a> {
    services: &'a [Service],
    env: &'a BTreeMap<String, String>,
    log_limit: u64,
}

//! One run step in the sandbox.

use smolvm_manifest::RunStep;
use smolvm_sandbox::{CommandUser, MountedFile, SandboxCommand, SandboxError, SecretFile, Session};

use crate::edit::Login;
use crate::output::Output;
use crate::{EngineError, Events, StepSurroundings};

/// Where a step with a network finds the host's CA certificates.
const CA_BUNDLE: &str = "/run/smolvm/ca-certificates.crt";
/// The variables by which curl and OpenSSL, git, Python, pip and Node.js are told of CA certificates.
const CA_VARIABLES: [&str; 6] =
    ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"];

/// Runs a step, streams its output, and reports a failure with the end of it.
pub(super) fn run(
    session: &mut Session,
    index: usize,
    step: &RunStep,
    login: &Login,
    surroundings: &StepSurroundings,
    events: &Events,
) -> Result<(), EngineError> {
    let secrets: Vec<_> =
        step.secrets.iter().filter_map(|name| Some((name, surroundings.secrets.get(name)?))).collect();
    let name = format!("run[{index}]");
    let mut output = Output::new(&name, secrets.iter().map(|(_, secret)| secret.expose().to_vec()), events);
    let command = SandboxCommand {
        cwd: step.workdir.clone(),
        user: Some(CommandUser { uid: login.uid, gid: login.gid, groups: login.groups.clone() }),
        secrets: secrets.iter().map(|(name, secret)| SecretFile::new(*name, secret.expose())).collect(),
        mounted_files: if step.network { mounted_files(surroundings) } else { Vec::new() },
        ..SandboxCommand::new(["/bin/sh", "-ec", &step.command], environment(step, login, surroundings))
    };
    let status = session.run(&command, &mut |bytes| output.feed(bytes)).map_err(|error| match error {
        SandboxError::StartCommand { .. } => {
            EngineError::StepNotStarted { index, command: step.command.clone(), reason: error.to_string() }
        }
        error => error.into(),
    })?;
    let tail = output.finish();
    if status.success() {
        return Ok(());
    }
    Err(EngineError::StepFailed { index, command: step.command.clone(), status, output: tail })
}

/// The step's own variables over a small, fixed set; with a network also how to get through the host's proxy.
fn environment(step: &RunStep, login: &Login, surroundings: &StepSurroundings) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("HOME", &login.home),
        ("USER", &login.name),
        ("LOGNAME", &login.name),
        ("SHELL", &login.shell),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    if step.network {
        env.extend(surroundings.proxies.iter().cloned());
        if surroundings.ca_bundle.is_some() {
            env.extend(CA_VARIABLES.map(|name| (name.to_owned(), CA_BUNDLE.to_owned())));
        }
    }
    env.retain(|(name, _)| !step.env.contains_key(name));
    env.extend(step.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    env
}

fn mounted_files(surroundings: &StepSurroundings) -> Vec<MountedFile> {
    let resolv_conf = surroundings.resolv_conf.iter().map(|content| ("/etc/resolv.conf", content));
    let ca_bundle = surroundings.ca_bundle.iter().map(|content| (CA_BUNDLE, content));
    resolv_conf
        .chain(ca_bundle)
        .map(|(path, content)| MountedFile { path: path.to_owned(), content: content.clone() })
        .collect()
}

//! What run steps get from the host, and how their failures are told.

use std::collections::BTreeMap;

use miette::Diagnostic;
use smolvm_engine::{EngineError, StepSurroundings};
use smolvm_manifest::{Manifest, Secret, SecretSource};

use crate::{BuildError, BuildOptions, Host};

/// Proxy variables, in both spellings that programs look for.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];
/// Where the host keeps its CA certificates: Debian and Alpine, Fedora, openSUSE.
const CA_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Everything that the manifest's run steps may use of the host: nothing if there are none.
pub(crate) fn surroundings(manifest: &Manifest, options: &BuildOptions) -> Result<StepSurroundings, BuildError> {
    let mut surroundings = StepSurroundings { secrets: secrets(manifest, options)?, ..StepSurroundings::default() };
    if manifest.run.iter().any(|step| step.network) {
        let host = &options.host;
        let proxy = |name: &&str| Some(((*name).to_owned(), host.variable(name)?.to_string_lossy().into_owned()));
        surroundings.proxies = PROXIES.iter().filter_map(proxy).collect();
        surroundings.resolv_conf = std::fs::read("/etc/resolv.conf").ok();
        surroundings.ca_bundle = ca_bundle(host);
    }
    Ok(surroundings)
}

fn ca_bundle(host: &Host) -> Option<Vec<u8>> {
    let named = host.variable("SSL_CERT_FILE").map(std::path::PathBuf::from);
    named.into_iter().chain(CA_BUNDLES.map(Into::into)).find_map(|path| std::fs::read(path).ok())
}

/// The values of the secrets that steps name; the others are not even read.
fn secrets(manifest: &Manifest, options: &BuildOptions) -> Result<BTreeMap<String, Secret>, BuildError> {
    let folder = options.smolfile.parent().unwrap_or(std::path::Path::new(""));
    let mut secrets = BTreeMap::new();
    for name in manifest.run.iter().flat_map(|step| &step.secrets) {
        let missing = |reason: String, help: String| {
            let message = format!("the secret `{name}` has no value: {reason}");
            let pointer = format!("/secrets/{name}");
            BuildError::input(manifest.document.error(&pointer, message, Some(help), "smolvm::build::secret"))
        };
        let value = match manifest.secrets.get(name) {
            Some(SecretSource::Environment(variable)) => {
                let value =
                    options.host.variable(variable).map(|value| value.to_string_lossy().into_owned().into_bytes());
                value.ok_or_else(|| {
                    missing(
                        format!("the variable `{variable}` is not set"),
                        format!("set it: {variable}=… smolvm build"),
                    )
                })?
            }
            Some(SecretSource::File(path)) => std::fs::read(folder.join(path)).map_err(|error| {
                missing(
                    format!("`{}` cannot be read: {error}", path.display()),
                    "put the value into that file, readable by you alone".to_owned(),
                )
            })?,
            None => continue,
        };
        secrets.insert(name.clone(), Secret::new(value));
    }
    Ok(secrets)
}

/// An engine's failure, with the place in the Smolfile that it is about.
pub(crate) fn failure(error: EngineError, manifest: &Manifest) -> BuildError {
    let class = crate::error::class_of(&error);
    match error.pointer(manifest) {
        Some(pointer) => {
            let help = error.help().map(|help| help.to_string());
            let code = error.code().map_or_else(String::new, |code| code.to_string());
            BuildError::new(class, manifest.document.error(&pointer, error.to_string(), help, code))
        }
        None => BuildError::new(class, error),
    }
}

#[cfg(test)]
mod tests {
    use smolvm_engine::{AccountError, DockerError, EditError, FileError};
    use smolvm_manifest::load;

    use super::*;
    use crate::FailureClass;
    use crate::surroundings::HostSurroundings;

    const SMOLFILE: &str = "base: debian:bookworm\narch: amd64\nusers:\n  - {name: dev}\n  - {name: docker, groups: [kvm]}\n\
                            files:\n  - {target: /etc/ssl, content: a}\n";

    #[test]
    fn what_the_image_does_not_allow_is_told_at_its_place_in_the_smolfile() {
        let host = Host::new([], std::time::SystemTime::UNIX_EPOCH);
        let surroundings = HostSurroundings::of(std::path::Path::new("Smolfile.yaml"), &host);
        let manifest = load("Smolfile.yaml", SMOLFILE, &surroundings).unwrap().manifest;
        let user = || "docker".to_owned();
        let edit = |error: EditError| EngineError::from(error);
        let group = || "kvm".to_owned();
        let account = |error: AccountError| edit(error.into());
        let errors = [
            (account(AccountError::GroupExists { user: user(), gid: 101 }), "engine::group_exists", "docker"),
            (account(AccountError::UserExists { user: user(), uid: 101 }), "engine::user_exists", "docker"),
            (account(AccountError::NoSuchGroup { user: user(), group: group() }), "engine::no_such_group", "[kvm]"),
            (
                edit(FileError::TargetIsFolder { target: "/etc/ssl".to_owned() }.into()),
                "engine::target_is_folder",
                "/etc/ssl",
            ),
            (DockerError::BaseNotFound { reference: user() }.into(), "docker::base_not_found", "debian:bookworm"),
        ];
        for (error, code, place) in errors {
            let failure = failure(error, &manifest);
            assert_eq!(failure.class(), FailureClass::Input);
            let told = failure.diagnostic();
            assert_eq!(told.code().unwrap().to_string(), format!("smolvm::{code}"));
            assert!(told.help().is_some());
            let label = told.labels().unwrap().next().unwrap();
            assert_eq!(&SMOLFILE[label.offset()..label.offset() + label.len()], place);
        }
    }
}

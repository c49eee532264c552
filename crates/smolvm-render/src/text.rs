//! Control characters that would break out of the line that a value stands on.

use smolvm_manifest::LockedManifest;

use crate::error::RenderError;

/// Refuses values that cannot stand where they must. A manifest that was loaded from a Smolfile has none of them, but a
/// `Manifest` can be made by hand, and what is rendered here is run as root.
pub(crate) fn check_texts(locked: &LockedManifest) -> Result<(), RenderError> {
    let manifest = &locked.manifest;
    for package in &locked.lock.packages {
        for value in [&package.name, &package.version, &package.arch] {
            line("packages of the lock", value)?;
        }
    }
    line("name", &manifest.name)?;
    line("hostname", &manifest.hostname)?;
    for (name, value) in &manifest.env {
        line("env", name)?;
        no_nul(&format!("env.{name}"), value)?;
    }
    for (index, repository) in manifest.repositories.iter().enumerate() {
        let field = |key: &str| format!("repositories[{index}].{key}");
        line(&field("name"), &repository.name)?;
        line(&field("url"), &repository.url)?;
        repository.suites.iter().try_for_each(|suite| line(&field("suites"), suite))?;
        repository.components.iter().try_for_each(|component| line(&field("components"), component))?;
    }
    if let Some(ssh) = &manifest.ssh {
        ssh.authorized_keys.iter().try_for_each(|key| line("ssh.authorized_keys", key))?;
        ssh.password_hash.iter().try_for_each(|hash| line("ssh.password", hash))?;
    }
    for (index, user) in manifest.users.iter().enumerate() {
        let field = |key: &str| format!("users[{index}].{key}");
        line(&field("name"), &user.name)?;
        line(&field("shell"), &user.shell)?;
        line(&field("home"), &user.home)?;
        user.groups.iter().try_for_each(|group| line(&field("groups"), group))?;
        user.authorized_keys.iter().try_for_each(|key| line(&field("authorized_keys"), key))?;
        user.password_hash.iter().try_for_each(|hash| line(&field("password"), hash))?;
    }
    for (index, entry) in manifest.files.iter().enumerate() {
        no_nul(&format!("files[{index}].target"), &entry.target)?;
        for name in entry.owner.iter().flat_map(|owner| [&owner.user, &owner.group]) {
            word(&format!("files[{index}].owner"), name)?;
        }
    }
    for (index, step) in manifest.run.iter().enumerate() {
        let field = |key: &str| format!("run[{index}].{key}");
        no_nul(&field("command"), &step.command)?;
        line(&field("workdir"), &step.workdir)?;
        line(&field("user"), &step.user)?;
        step.env.values().try_for_each(|value| no_nul(&field("env"), value))?;
        step.secrets.iter().try_for_each(|name| word(&field("secrets"), name))?;
    }
    for (index, service) in manifest.services.iter().enumerate() {
        let field = |key: &str| format!("services[{index}].{key}");
        word(&field("name"), &service.name)?;
        line(&field("user"), &service.user)?;
        no_nul(&field("workdir"), &service.workdir)?;
        service.command.iter().try_for_each(|word| no_nul(&field("command"), word))?;
        service.env.keys().try_for_each(|name| word(&field("env"), name))?;
        service.env.values().try_for_each(|value| no_nul(&field("env"), value))?;
    }
    manifest.dns.iter().try_for_each(|address| line("network.dns", &address.to_string()))
}

fn no_nul(field: &str, value: &str) -> Result<(), RenderError> {
    refuse(field, value, |character| character == '\0', "a NUL character", "a command or a path")
}

fn line(field: &str, value: &str) -> Result<(), RenderError> {
    refuse(field, value, char::is_control, "a control character", "a configuration file of one line per value")
}

fn word(field: &str, value: &str) -> Result<(), RenderError> {
    let odd = |character: char| !(character.is_ascii_alphanumeric() || "._-".contains(character));
    refuse(field, value, odd, "a character outside [A-Za-z0-9._-]", "an option of a Dockerfile")
}

fn refuse(
    field: &str,
    value: &str,
    bad: impl Fn(char) -> bool,
    character: &'static str,
    place: &'static str,
) -> Result<(), RenderError> {
    if value.chars().any(bad) {
        return Err(RenderError::Inexpressible { field: field.to_owned(), character, place });
    }
    Ok(())
}

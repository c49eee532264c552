//! "Did you mean": the nearest of a closed set.

/// The candidate that is a typing mistake away from `written`, if there is one.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Short words are near to everything.
fn allowed(candidate: &str) -> usize {
    match candidate.len() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    }
}

/// Keys that other tools use for the same thing.
pub(crate) fn other_name_for(key: &str) -> Option<&'static str> {
    Some(match key {
        "from" | "image" | "distro" | "os" => "base",
        "package" | "pkgs" | "apt" | "apt_packages" | "install" => "packages",
        "environment" | "environments" | "vars" | "variables" => "env",
        "architecture" | "platform" => "arch",
        "disk" | "disk_size" | "rootfs_size" => "size",
        "repos" | "sources" | "mirrors" => "repositories",
        "host" => "hostname",
        "copy" | "copies" | "add" => "files",
        "script" | "scripts" | "commands" | "steps" | "setup" => "run",
        "daemons" => "services",
        "src" | "from_path" => "source",
        "dest" | "destination" | "dst" | "path" | "to" => "target",
        "text" | "contents" | "inline" => "content",
        "permissions" | "perms" | "chmod" => "mode",
        "chown" => "owner",
        "cwd" | "working_dir" | "dir" | "directory" => "workdir",
        "cmd" | "exec" => "command",
        "username" | "login" => "name",
        "keys" | "ssh_keys" | "ssh_authorized_keys" | "pubkeys" => "authorized_keys",
        "from_environment" | "environment_variable" => "from_env",
        "file" => "from_file",
        "key" | "gpg_key" | "gpgkey" | "keyring" => "signed_by",
        "nameservers" | "nameserver" | "resolvers" => "dns",
        "cmdline" | "append" | "arguments" => "args",
        "id" => "uid",
        "secret" => "secrets",
        "user" => "users",
        _ => return None,
    })
}

/// Releases and architectures as other tools call them.
pub(crate) fn other_name_for_value(value: &str) -> Option<&'static str> {
    Some(match value {
        "debian" | "debian:stable" | "debian:13" | "debian13" | "trixie" => "debian:trixie",
        "debian:12" | "debian12" | "bookworm" | "debian:oldstable" => "debian:bookworm",
        "ubuntu" | "ubuntu:noble" | "noble" | "ubuntu:latest" | "ubuntu:24" => "ubuntu:24.04",
        "ubuntu:jammy" | "jammy" | "ubuntu:22" => "ubuntu:22.04",
        "alpine" | "alpine:latest" | "alpine:3" => "alpine:3.22",
        "x86_64" | "x86-64" | "x64" | "x86" | "linux/amd64" => "amd64",
        "aarch64" | "arm64v8" | "arm" | "linux/arm64" => "arm64",
        "no" | "none" | "off" => "never",
        "on_failure" | "onfailure" | "on-error" => "on-failure",
        "unless-stopped" | "yes" => "always",
        "ram" | "memory" | "ramdisk" => "tmpfs",
        _ => return None,
    })
}

//! The files that say who a guest is. Both engines write them last, as edits of a list: they need no sandbox.

use std::collections::BTreeMap;

use serde::Serialize;
use smolvm_manifest::{Distro, Family, FileContent, ImageTools, LocalKind, Manifest, Owner, Repository, Tmp, User};

use crate::archives::public_archives;
use crate::error::RenderError;
use crate::foundation::Foundation;
use crate::quote;
use crate::ssh;
use crate::step::{Content, FileStep};
use crate::templates::{COMMAND, HOSTS, MOUNTS, PROFILE, SOURCES, fill};

/// What init compares the disk's size with.
pub const DISK: &str = "/etc/smolvm/disk";

/// Every identity file but `/init`, in the order in which they are written.
pub(crate) fn identity(manifest: &Manifest, foundation: &Foundation<'_>) -> Result<Vec<FileStep>, RenderError> {
    let mut files = vec![
        text("/etc/hostname", format!("{}\n", manifest.hostname)),
        text("/etc/hosts", hosts(manifest)?),
        text("/etc/smolvm/mounts", mounts(manifest.tmp)?),
        // The size of the disk that the file system was made for, in sectors. Whoever writes the file system knows it.
        text(DISK, "0\n".to_owned()),
    ];
    files.extend(package_sources(manifest, foundation)?);
    let env = foundation.env(&manifest.env);
    if !env.is_empty() {
        files.push(text("/etc/profile.d/smolvm-env.sh", fill(PROFILE, &Profile { env: &env })?));
    }
    files.extend(command(foundation, &env)?);
    if let Some(settings) = &manifest.ssh {
        files.push(text(ssh::DROP_IN, ssh::drop_in(manifest, settings, &env)?));
        files.extend(authorized_keys("/root", None, &settings.authorized_keys));
    }
    for user in &manifest.users {
        files.extend(authorized_keys(&user.home, Some(user), &user.authorized_keys));
    }
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        if yields_to_files(manifest, &file.target)? {
            continue;
        }
        kept.push(file);
    }
    if let Some(index) = placing(manifest, "/init") {
        return Err(clash(index, "/init", "smolvm writes itself", "`services` starts programs at boot"));
    }
    Ok(kept)
}

/// Whether the Smolfile's `files` place this path themselves. Where that file is a mere default of smolvm, theirs wins;
/// where another key asked for it, both cannot be had.
fn yields_to_files(manifest: &Manifest, target: &str) -> Result<bool, RenderError> {
    let Some(index) = placing(manifest, target) else { return Ok(false) };
    let (owner, instead) = match target {
        "/etc/hostname" | "/etc/hosts" => return Ok(true),
        _ if target.starts_with("/etc/apt/") || target.starts_with("/etc/apk/") => return Ok(true),
        ssh::DROP_IN => (
            "smolvm writes from `ssh` and `env`",
            "settings of your own go to another file in /etc/ssh/sshd_config.d, or say `ssh: false`",
        ),
        _ if target.ends_with("/authorized_keys") => {
            ("the `authorized_keys` of the Smolfile decide too", "list every key under `authorized_keys`")
        }
        _ if target.starts_with("/etc/profile.d/") => {
            ("smolvm writes from `env`", "give the file another name in /etc/profile.d")
        }
        _ => ("smolvm writes itself", "/etc/smolvm is smolvm's, but for the hook network.sh"),
    };
    Err(clash(index, target, owner, instead))
}

fn clash(index: usize, target: &str, owner: &'static str, instead: &'static str) -> RenderError {
    RenderError::Clash { field: format!("files[{index}]"), target: target.to_owned(), owner, instead }
}

/// The entry of `files` that places exactly this path, alone or as part of a folder.
fn placing(manifest: &Manifest, path: &str) -> Option<usize> {
    manifest.files.iter().position(|entry| match &entry.content {
        FileContent::Inline(_) => entry.target == path,
        FileContent::Local(source) => source.entries.iter().any(|part| {
            let below = match path.strip_prefix(entry.target.trim_end_matches('/')) {
                Some("") => "",
                Some(rest) => rest.strip_prefix('/').unwrap_or("/"),
                None => return false,
            };
            part.path == below && !matches!(part.kind, LocalKind::Directory)
        }),
    })
}

fn text(target: impl Into<String>, content: String) -> FileStep {
    FileStep::root(target, Content::Bytes(content.into_bytes()), 0o644)
}

#[derive(Debug, Serialize)]
struct Profile<'a> {
    env: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Hosts<'a> {
    hostname: &'a str,
    /// Its first label, where it has several.
    alias: Option<&'a str>,
}

fn hosts(manifest: &Manifest) -> Result<String, RenderError> {
    let alias = manifest.hostname.split_once('.').map(|(first, _)| first);
    fill(HOSTS, &Hosts { hostname: &manifest.hostname, alias })
}

/// Starts what the image runs under Docker.
#[derive(Debug, Serialize)]
struct Command<'a> {
    reference: &'a str,
    env: &'a BTreeMap<String, String>,
    workdir: &'a str,
    user: &'a str,
    words: String,
}

/// The ENTRYPOINT and CMD of the image that the base is, so that they are not lost.
fn command(foundation: &Foundation<'_>, env: &BTreeMap<String, String>) -> Result<Option<FileStep>, RenderError> {
    let Some(image) = foundation.image else { return Ok(None) };
    let words: Vec<String> = image.entrypoint.iter().chain(&image.cmd).map(|word| quote::shell(word)).collect();
    if words.is_empty() {
        return Ok(None);
    }
    // A group may follow the user.
    let user = image.user.split(':').next().unwrap_or_default();
    let values = Command {
        reference: &image.reference,
        env,
        workdir: if image.workdir.is_empty() { "/" } else { &image.workdir },
        user: if matches!(user, "" | "0") { "root" } else { user },
        words: words.join(" "),
    };
    let content = fill(COMMAND, &values)?;
    Ok(Some(FileStep::root("/etc/smolvm/command", Content::Bytes(content.into_bytes()), 0o755)))
}

#[derive(Debug, Serialize)]
struct Mounts {
    tmpfs: bool,
    bytes: Option<u64>,
}

fn mounts(tmp: Tmp) -> Result<String, RenderError> {
    let (tmpfs, bytes) = match tmp {
        Tmp::Disk => (false, None),
        Tmp::Tmpfs(bytes) => (true, bytes),
    };
    fill(MOUNTS, &Mounts { tmpfs, bytes })
}

fn authorized_keys(home: &str, user: Option<&User>, keys: &[String]) -> Option<FileStep> {
    if keys.is_empty() {
        return None;
    }
    let lines: String = keys.iter().flat_map(|key| [key.as_str(), "\n"]).collect();
    Some(FileStep {
        target: format!("{}/.ssh/authorized_keys", home.trim_end_matches('/')),
        content: Content::Bytes(lines.into_bytes()),
        mode: Some(0o600),
        owner: user.map(|user| Owner { user: user.name.clone(), group: user.name.clone() }),
        parent_mode: Some(0o700),
    })
}

#[derive(Debug, Serialize)]
struct Sources {
    apk: bool,
    sources: Vec<Source>,
}

/// One stanza of apt's deb822 sources, or one address of apk's repositories.
#[derive(Debug, Serialize)]
struct Source {
    url: String,
    suites: Vec<String>,
    components: Vec<String>,
    keyring: Option<String>,
}

/// The guest's own package sources: the public addresses, and what the Smolfile names.
fn package_sources(manifest: &Manifest, foundation: &Foundation<'_>) -> Result<Vec<FileStep>, RenderError> {
    match (foundation.distro, foundation.image) {
        (Some(distro), _) => sources_of_release(manifest, distro),
        (None, Some(image)) if image.tools != ImageTools::Apt && !manifest.repositories.is_empty() => {
            Err(RenderError::ImageRepositories { reference: image.reference.clone() })
        }
        // The image's own sources stay as they are.
        (None, _) => {
            let mut files = Vec::new();
            for repository in &manifest.repositories {
                let source = extra_source(repository, Family::Debian, &mut files);
                let stanza = fill(SOURCES, &Sources { apk: false, sources: vec![source] })?;
                files.push(text(format!("/etc/apt/sources.list.d/{}.sources", repository.name), stanza));
            }
            Ok(files)
        }
    }
}

/// A repository of the Smolfile's own, beside those of the release.
fn extra_source(repository: &Repository, family: Family, files: &mut Vec<FileStep>) -> Source {
    let mut source =
        Source { url: String::new(), suites: Vec::new(), components: vec!["main".to_owned()], keyring: None };
    replace(&mut source, repository, family, files);
    source
}

fn sources_of_release(manifest: &Manifest, distro: Distro) -> Result<Vec<FileStep>, RenderError> {
    let mut files = Vec::new();
    let mut own = Vec::new();
    for archive in public_archives(distro, manifest.arch) {
        let replacement = manifest.repositories.iter().find(|repository| repository.name == archive.name);
        let mut source = Source {
            url: archive.url,
            suites: archive.suites,
            components: archive.components.iter().map(|&component| component.to_owned()).collect(),
            keyring: archive.keyring.map(str::to_owned),
        };
        if let Some(repository) = replacement {
            replace(&mut source, repository, distro.family(), &mut files);
        }
        own.push(source);
    }
    let mut extra = Vec::new();
    for repository in manifest.repositories.iter().filter(|entry| !is_own(entry, distro, manifest)) {
        extra.push((repository, extra_source(repository, distro.family(), &mut files)));
    }
    match distro.family() {
        Family::Alpine => {
            own.extend(extra.into_iter().map(|(_, source)| source));
            files.push(text("/etc/apk/repositories", fill(SOURCES, &Sources { apk: true, sources: own })?));
        }
        family => {
            let name = if family == Family::Debian { "debian" } else { "ubuntu" };
            let path = |name: &str| format!("/etc/apt/sources.list.d/{name}.sources");
            files.push(text(path(name), fill(SOURCES, &Sources { apk: false, sources: own })?));
            for (repository, source) in extra {
                let stanza = fill(SOURCES, &Sources { apk: false, sources: vec![source] })?;
                files.push(text(path(&repository.name), stanza));
            }
            // Older base images bring a list of their own, which would name every index twice.
            files.push(text("/etc/apt/sources.list", "# See /etc/apt/sources.list.d.\n".to_owned()));
        }
    }
    Ok(files)
}

fn is_own(repository: &Repository, distro: Distro, manifest: &Manifest) -> bool {
    public_archives(distro, manifest.arch).iter().any(|archive| archive.name == repository.name)
}

/// Puts what the Smolfile says about a repository in place of `source`, and its key among `files`.
fn replace(source: &mut Source, repository: &Repository, family: Family, files: &mut Vec<FileStep>) {
    source.url.clone_from(&repository.url);
    if !repository.suites.is_empty() {
        source.suites.clone_from(&repository.suites);
    }
    if !repository.components.is_empty() {
        source.components.clone_from(&repository.components);
    }
    if !repository.signed_by.is_empty() {
        let path = match family {
            Family::Alpine => {
                let usual = format!("{}.rsa.pub", repository.name);
                format!("/etc/apk/keys/{}", repository.key_file.as_deref().unwrap_or(&usual))
            }
            _ if repository.signed_by.starts_with(b"-----BEGIN") => {
                format!("/etc/apt/keyrings/{}.asc", repository.name)
            }
            _ => format!("/etc/apt/keyrings/{}.gpg", repository.name),
        };
        files.push(FileStep::root(path.clone(), Content::Bytes(repository.signed_by.clone()), 0o644));
        source.keyring = Some(path);
    }
}

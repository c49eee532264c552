//! The steps in Docker's spelling.

use std::collections::BTreeSet;

use serde::Serialize;
use smolvm_manifest::{
    Distro, ImageTools, LocalKind, LockedManifest, LockedPackage, Manifest, PackageRequest, RunStep, User,
};

use crate::context::context_path;
use crate::error::RenderError;
use crate::foundation::Foundation;
use crate::quote::shell;
use crate::step::{Content, FileStep, Step};
use crate::templates::{DOCKERFILE, fill};

/// The Dockerfile's text. It needs nothing that BuildKit of Docker 20.10 or, without secrets and steps without a
/// network, the classic builder lacks: modes travel in the context, not in `COPY --chmod`.
pub(crate) fn dockerfile(
    locked: &LockedManifest,
    foundation: &Foundation<'_>,
    steps: &[Step],
) -> Result<String, RenderError> {
    let manifest = &locked.manifest;
    let tools = foundation.tools;
    let mut accounts = first_accounts(foundation.distro);
    let mut files = Vec::new();
    let mut run = Vec::new();
    let mut sources = Vec::new();
    let mut identity = Vec::new();
    let users: Vec<&User> = steps
        .iter()
        .filter_map(|step| match step {
            Step::CreateUser(user) => Some(user),
            _ => None,
        })
        .collect();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::InstallPackages { .. } => {}
            // An image without a known package manager may have no program for it; the tree's own edit does it then.
            Step::SetPassword { .. } if tools == ImageTools::None => {}
            Step::SetPassword { user, hash } => accounts.push(set_password(tools, user, hash.as_deref())),
            Step::CreateUser(user) => accounts.push(create_user(tools, user)),
            Step::PlaceFile(file) => files.push(CopyLine::new(&context_path(steps, index), file)),
            Step::Run(step) => run.push(RunLine::new(step, &users)),
            Step::WriteIdentity(file) => {
                let line = CopyLine::new(&context_path(steps, index), file);
                // Packages may come from the Smolfile's own repositories.
                let list = if file.target.starts_with("/etc/ap") { &mut sources } else { &mut identity };
                list.push(line);
            }
        }
    }
    let mut packages: Vec<String> =
        locked.lock.packages.iter().map(|package| pinned(package, manifest.arch.as_str())).collect();
    if packages.is_empty() {
        packages = requested(manifest, tools);
    }
    packages.sort();
    let values = DockerfileValues {
        name: &manifest.name,
        from: &foundation.from,
        foreign: foundation.image.is_some(),
        path: foundation.path(),
        alpine: tools == ImageTools::Apk,
        sources,
        packages,
        accounts,
        folders: folders_of_owned(&files),
        files,
        run,
        identity,
    };
    fill(DOCKERFILE, &values)
}

#[derive(Debug, Serialize)]
struct DockerfileValues<'a> {
    name: &'a str,
    from: &'a str,
    /// Whether the base is an image of somebody else's, with a USER, a WORKDIR and a SHELL of its own.
    foreign: bool,
    path: Option<String>,
    alpine: bool,
    /// Where packages come from.
    sources: Vec<CopyLine>,
    packages: Vec<String>,
    /// Commands that make users and set passwords.
    accounts: Vec<String>,
    /// A command that makes the folders of files with an owner: `COPY --chown` would give them to that owner too.
    folders: Option<String>,
    files: Vec<CopyLine>,
    run: Vec<RunLine>,
    identity: Vec<CopyLine>,
}

/// One `COPY`, and what must be said about its folder afterwards.
#[derive(Debug, Serialize)]
struct CopyLine {
    from: String,
    to: String,
    owner: Option<String>,
    after: Option<String>,
}

impl CopyLine {
    fn new(from: &str, file: &FileStep) -> Self {
        let is_folder = matches!(&file.content, Content::Local(source)
            if source.entries.first().is_some_and(|entry| matches!(entry.kind, LocalKind::Directory)));
        let owner = file.owner.as_ref().map(|owner| format!("{}:{}", owner.user, owner.group));
        let after = file.parent_mode.map(|mode| {
            let folder = file.target.rsplit_once('/').map_or("/", |(folder, _)| folder);
            let owner = owner.as_deref().unwrap_or("root:root");
            format!("chown -- {} {folder} && chmod {mode:04o} {folder}", shell(owner), folder = shell(folder))
        });
        // A folder's content is merged into its target, which Docker knows by the slash.
        let slash = if is_folder { "/" } else { "" };
        Self { from: format!("{from}{slash}"), to: format!("{}{slash}", file.target), owner, after }
    }
}

fn folders_of_owned(files: &[CopyLine]) -> Option<String> {
    let owned = files.iter().filter(|file| file.owner.is_some());
    let folders = owned.filter_map(|file| Some(file.to.trim_end_matches('/').rsplit_once('/')?.0));
    // The root folder is there.
    let folders: BTreeSet<&str> = folders.filter(|folder| !folder.is_empty()).collect();
    let words: Vec<String> = folders.into_iter().map(shell).collect();
    (!words.is_empty()).then(|| format!("mkdir -p -- {}", words.join(" ")))
}

/// One run step.
#[derive(Debug, Serialize)]
struct RunLine {
    user: String,
    words: Vec<String>,
    network: bool,
    secrets: Vec<SecretMount>,
}

/// One secret of a run step.
#[derive(Debug, Serialize)]
struct SecretMount {
    id: String,
    rights: String,
}

impl RunLine {
    fn new(step: &RunStep, users: &[&User]) -> Self {
        let uid = match step.user.as_str() {
            "root" => Some(0),
            name => users.iter().find(|user| user.name == name).and_then(|user| user.uid).or(name.parse().ok()),
        };
        // A secret is mounted by number; of a user that a package made, the number is not known here.
        let rights = uid.map_or("mode=0444".to_owned(), |uid| format!("mode=0400,uid={uid}"));
        let mut words = Vec::new();
        if !step.env.is_empty() {
            words.push("env".to_owned());
            words.extend(step.env.iter().map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(["/bin/sh".to_owned(), "-ec".to_owned(), step.command.clone()]);
        if step.workdir != "/" {
            // Docker's WORKDIR would make a missing folder, root's, without a word.
            let enter = ["/bin/sh", "-ec", "cd -- \"$0\" && exec \"$@\"", &step.workdir];
            words.splice(0..0, enter.map(str::to_owned));
        }
        Self {
            user: step.user.clone(),
            words,
            network: step.network,
            secrets: step.secrets.iter().map(|id| SecretMount { id: id.clone(), rights: rights.clone() }).collect(),
        }
    }
}

/// What the Smolfile asks for, and SSH needs, where nobody but the base's own package manager resolves it.
fn requested(manifest: &Manifest, tools: ImageTools) -> Vec<String> {
    let implied: &[&str] = match (tools, &manifest.ssh) {
        (_, None) | (ImageTools::None, _) => &[],
        (ImageTools::Apt, Some(_)) => &["openssh-server", "iproute2"],
        (ImageTools::Apk, Some(_)) => &["openssh", "iproute2"],
    };
    let spelled = |request: &PackageRequest| match &request.version {
        // apk's word for "any version that begins so".
        Some(version) if tools == ImageTools::Apk && version.contains('*') => {
            format!("{}=~{}", request.name, version.trim_end_matches(['*', '.']))
        }
        _ => request.to_string(),
    };
    let mut packages: Vec<String> = manifest.packages.iter().map(spelled).collect();
    packages.extend(implied.iter().map(|&name| name.to_owned()));
    packages.sort();
    packages.dedup();
    packages
}

fn pinned(package: &LockedPackage, arch: &str) -> String {
    if package.arch != arch && package.arch != "all" {
        return format!("{}:{}={}", package.name, package.arch, package.version);
    }
    format!("{}={}", package.name, package.version)
}

/// Docker's Ubuntu image has a user of its own at number 1000, which the packages do not make.
fn first_accounts(distro: Option<Distro>) -> Vec<String> {
    match distro {
        Some(Distro::Ubuntu2404) => {
            vec!["if getent passwd ubuntu >/dev/null; then userdel --remove ubuntu 2>/dev/null; fi".to_owned()]
        }
        _ => Vec::new(),
    }
}

fn set_password(tools: ImageTools, user: &str, hash: Option<&str>) -> String {
    let hash = hash.unwrap_or("*");
    if tools == ImageTools::Apt {
        format!("usermod --password {} {}", shell(hash), shell(user))
    } else {
        format!("printf '%s\\n' {} | chpasswd -e", shell(&format!("{user}:{hash}")))
    }
}

fn create_user(tools: ImageTools, user: &User) -> String {
    let name = shell(&user.name);
    let uid = user.uid.unwrap_or_default();
    let (shell_path, home) = (shell(&user.shell), shell(&user.home));
    let mut commands = Vec::new();
    if tools == ImageTools::Apt {
        commands.push(format!("groupadd --gid {uid} {name}"));
        let groups = match user.groups.as_slice() {
            [] => String::new(),
            groups => format!(" --groups {}", shell(&groups.join(","))),
        };
        commands.push(format!(
            "useradd --uid {uid} --gid {uid}{groups} --shell {shell_path} --home-dir {home} --create-home {name}"
        ));
    } else {
        commands.push(format!("addgroup -g {uid} {name}"));
        commands.push(format!("adduser -D -u {uid} -G {name} -s {shell_path} -h {home} {name}"));
        commands.extend(user.groups.iter().map(|group| format!("addgroup {name} {}", shell(group))));
    }
    // Each distribution has its own idea of it.
    commands.push(format!("chmod 0755 {home}"));
    commands.push(set_password(tools, &user.name, user.password_hash.as_deref()));
    commands.join(" && ")
}

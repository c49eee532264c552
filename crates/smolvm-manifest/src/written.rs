//! A Smolfile as it is written: shapes and spelling, nothing filled in. The JSON schema is generated from these types.

mod access;
mod base;
mod env;
mod files;
mod kernel;
mod shapes;
mod text;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use access::{Password, PasswordSource, Secrets, Ssh, User};
pub(crate) use base::Base;
pub(crate) use env::{Env, GuestEnv, OwnEnv};
pub(crate) use files::{Entry, RunMap, RunStep, Service};
pub(crate) use kernel::{DistroKernel, Kernel};
pub(crate) use shapes::{List, TextOr};
pub(crate) use text::*;

/// The whole document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Smolfile", inline, extend("required" = ["base"]))]
pub(crate) struct Smolfile {
    /// Version of the Smolfile format.
    #[serde(default)]
    #[schemars(with = "FormatVersion", extend("examples" = [1]))]
    #[expect(dead_code, reason = "the schema lets only one version pass, so nothing is left to ask")]
    pub(crate) version: Option<FormatVersion>,
    /// Name of the image. Default: the name of the folder that holds the Smolfile, made to fit.
    #[serde(default)]
    #[schemars(with = "ImageName", extend("examples" = ["team-dev"]))]
    pub(crate) name: Option<ImageName>,
    /// The operating system to start from. The only key that every Smolfile needs.
    // Missing only when the schema refused it and the rest is judged all the same.
    #[serde(default)]
    #[schemars(with = "Base", extend("examples" = ["debian:bookworm"]))]
    pub(crate) base: Option<Base>,
    /// Processor architecture of the image. Default: that of this machine.
    #[serde(default)]
    #[schemars(with = "ArchName", extend("examples" = ["amd64"]))]
    pub(crate) arch: Option<ArchName>,
    /// Size of the root file system, or `auto`: its content and headroom.
    #[serde(default)]
    #[schemars(with = "SizeText", extend("examples" = ["2GiB", "auto"]))]
    pub(crate) size: Option<SizeText>,
    /// Packages of the distribution, each a name or `name=version`; a version may hold `*`.
    #[serde(default)]
    #[schemars(extend("examples" = [["git", "curl", "python3=3.11.*"]]))]
    pub(crate) packages: List<PackageText>,
    /// Package archives besides the distribution's own, or instead of one of them, each with its key.
    #[serde(default)]
    pub(crate) repositories: List<Repository>,
    /// SSH access to the guest: keys and password of root, or `false` for no SSH at all.
    #[serde(default)]
    #[schemars(extend("examples" = [{"authorized_keys": ["~/.ssh/id_ed25519.pub"]}, false]))]
    pub(crate) ssh: Ssh,
    /// Environment of the guest, visible to ssh commands, login shells and services.
    #[serde(default)]
    #[schemars(extend("examples" = [{"EDITOR": "vim"}, ["EDITOR=vim"]]))]
    pub(crate) env: GuestEnv,
    /// Host name of the guest. Default: the image's name, made to fit.
    #[serde(default)]
    #[schemars(with = "HostName", extend("examples" = ["dev"]))]
    pub(crate) hostname: Option<HostName>,
    /// Users to create.
    #[serde(default)]
    pub(crate) users: List<User>,
    /// Files and folders to place in the guest.
    #[serde(default)]
    pub(crate) files: List<Entry>,
    /// Commands to run inside the image while it is built, in order.
    #[serde(default)]
    #[schemars(extend("examples" = [["npm install -g openclaw"]]))]
    pub(crate) run: List<RunStep>,
    /// Secrets that run steps may read while the image is built. They never enter the image.
    #[serde(default)]
    #[schemars(extend("examples" = [{"NPM_TOKEN": {"from_env": "NPM_TOKEN"}}]))]
    pub(crate) secrets: Secrets,
    /// Programs that are started at boot and watched.
    #[serde(default)]
    pub(crate) services: List<Service>,
    /// Network of the guest.
    #[serde(default)]
    pub(crate) network: Network,
    /// Where `/tmp` lives: on the root disk and emptied at boot, or in memory.
    #[serde(default)]
    #[schemars(with = "Tmp", extend("examples" = ["disk", "tmpfs"]))]
    pub(crate) tmp: Option<Tmp>,
    /// Which kernel boots the image.
    #[serde(default)]
    #[schemars(with = "Kernel", extend("examples" = ["auto", "distro"]))]
    pub(crate) kernel: Option<Kernel>,
    /// Boot settings.
    #[serde(default)]
    pub(crate) boot: Boot,
}

/// A package archive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a repository", inline)]
#[schemars(extend("examples" = [{"url": "https://deb.example.org", "suites": ["bookworm"], "components": ["main"], "signed_by": "keys/example.asc"}]))]
pub(crate) struct Repository {
    /// Name of the archive in the lock file. Default: the host of `url`. The name of one of the base's own archives
    /// (`debian`, `debian-security`, `ubuntu`) replaces that one.
    #[serde(default)]
    #[schemars(with = "ArchiveName", extend("examples" = ["example"]))]
    pub(crate) name: Option<ArchiveName>,
    /// Address of the archive, without the `dists/…` part.
    #[schemars(extend("examples" = ["https://deb.example.org/debian"]))]
    pub(crate) url: WebAddress,
    /// Suites to read.
    #[serde(default)]
    #[schemars(extend("examples" = [["bookworm"]]))]
    pub(crate) suites: List<SuiteName>,
    /// Components to read. Default: those of the base.
    #[serde(default)]
    #[schemars(extend("examples" = [["main"]]))]
    pub(crate) components: List<SuiteName>,
    /// File with the OpenPGP key that signs the archive.
    #[serde(default)]
    #[schemars(with = "HostPath", extend("examples" = ["keys/example.asc"]))]
    pub(crate) signed_by: Option<HostPath>,
}

/// `network`.
#[derive(Debug, Default)]
pub(crate) struct Network(pub(crate) NetworkMap);

/// `network`, where something stands in it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map with `dns`", inline)]
#[schemars(extend("examples" = [{"dns": ["8.8.8.8", "8.8.4.4"]}]))]
pub(crate) struct NetworkMap {
    /// Name servers that apply when the boot arguments give none; three at most.
    #[serde(default)]
    #[schemars(length(max = 3), extend("examples" = [["8.8.8.8", "8.8.4.4"]]))]
    pub(crate) dns: List<NetworkAddress>,
}

/// `boot`.
#[derive(Debug, Default)]
pub(crate) struct Boot(pub(crate) BootMap);

/// `boot`, where something stands in it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map with `args`", inline)]
#[schemars(extend("examples" = [{"args": ["quiet"]}]))]
pub(crate) struct BootMap {
    /// Words appended to the kernel command line.
    #[serde(default)]
    #[schemars(extend("examples" = [["quiet"]]))]
    pub(crate) args: List<BootArgument>,
}

shapes::map_or_nothing!(Network, NetworkMap);
shapes::map_or_nothing!(Boot, BootMap);

/// `tmp`: a word, or a map with a size.
pub(crate) type Tmp = TextOr<TmpWord, TmpMap>;

/// `tmp: {tmpfs: SIZE}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map such as {tmpfs: 512MiB}", inline)]
pub(crate) struct TmpMap {
    /// Most that `/tmp` may take of the memory.
    #[schemars(extend("examples" = ["512MiB"]))]
    pub(crate) tmpfs: ByteSize,
}

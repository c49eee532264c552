//! One file per command; each turns its arguments into an [`Answer`].

mod build;
mod check;
mod completions;
mod explain;
mod image;
mod init;
mod lock;
mod render;
mod run;
mod schema;
mod vendor;

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use smolvm_build::{BuildOptions, Host};

use crate::answer::Answer;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// What smolvm can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Arguments),
    Check(check::Arguments),
    Render(render::Arguments),
    Lock(lock::Arguments),
    Vendor(vendor::Arguments),
    Build(build::Arguments),
    Explain(explain::Arguments),
    Run(run::Arguments),
    #[command(subcommand)]
    Image(image::Command),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
}

impl Command {
    /// Its name in the envelope.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Check(_) => "check",
            Self::Render(_) => "render",
            Self::Lock(_) => "lock",
            Self::Vendor(_) => "vendor",
            Self::Build(_) => "build",
            Self::Explain(_) => "explain",
            Self::Run(_) => "run",
            Self::Image(command) => command.name(),
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
        }
    }

    /// Whether its result goes into an envelope.
    pub(crate) const fn json(&self) -> bool {
        match self {
            Self::Init(arguments) => arguments.output.json,
            Self::Check(arguments) => arguments.output.json,
            Self::Render(arguments) => arguments.output.json,
            Self::Lock(arguments) => arguments.output.json,
            Self::Vendor(arguments) => arguments.output.json,
            Self::Build(arguments) => arguments.format.json,
            Self::Explain(arguments) => arguments.output.json,
            Self::Image(command) => command.json(),
            Self::Run(_) | Self::Schema(_) | Self::Completions(_) => false,
        }
    }

    /// Does it.
    pub(crate) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        match self {
            Self::Init(arguments) => arguments.execute(),
            Self::Check(arguments) => arguments.execute(terminal),
            Self::Render(arguments) => arguments.execute(terminal),
            Self::Lock(arguments) => arguments.execute(terminal),
            Self::Vendor(arguments) => arguments.execute(terminal),
            Self::Build(arguments) => arguments.execute(terminal),
            Self::Explain(arguments) => arguments.execute(terminal),
            Self::Run(arguments) => arguments.execute(terminal),
            Self::Image(command) => command.execute(),
            Self::Schema(arguments) => Ok(arguments.execute()),
            Self::Completions(arguments) => Ok(arguments.execute()),
        }
    }
}

/// How the result is written.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Write the result as one JSON envelope: {ok, command, data | error}
    #[arg(long)]
    json: bool,
}

/// Which manifest.
#[derive(Debug, Args)]
struct Smolfile {
    /// The manifest
    #[arg(short, long = "file", value_name = "FILE", default_value = "Smolfile.yaml")]
    file: PathBuf,
}

/// Which store.
#[derive(Debug, Args)]
struct Store {
    #[arg(
        long,
        value_name = "DIR",
        help = "The folder of the image store [default: $SMOLVM_IMAGE_DIR, else ~/.smolvm/images]"
    )]
    image_dir: Option<PathBuf>,
}

impl Store {
    fn folder(&self) -> PathBuf {
        self.image_dir.clone().unwrap_or_else(|| host().image_dir())
    }
}

/// Where packages are, if on this machine.
#[derive(Debug, Args)]
struct MirrorDir {
    #[arg(
        long,
        value_name = "DIR",
        help = "Take what the lock names from this folder alone, which `smolvm vendor` filled [default: $SMOLVM_MIRROR_DIR]"
    )]
    mirror_dir: Option<PathBuf>,
}

impl MirrorDir {
    fn set(&self, options: &mut BuildOptions) {
        if let Some(folder) = &self.mirror_dir {
            options.mirror_dir = Some(folder.clone());
        }
    }
}

/// Of a guest.
#[derive(Debug, Args)]
struct Hardware {
    /// The guest's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    memory: u32,

    /// The guest's processors
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
}

impl From<&Hardware> for smolvm_vm::Hardware {
    fn from(hardware: &Hardware) -> Self {
        Self { memory_mib: hardware.memory, cpus: hardware.cpus }
    }
}

/// What a build of this manifest is told, with everything at its usual place.
fn options(smolfile: &Smolfile) -> BuildOptions {
    BuildOptions::new(&smolfile.file, host())
}

/// This machine's environment and clock: read here and nowhere else.
fn host() -> Host {
    // Where nobody sets HOME (a service, a cron job), it is the account's.
    let is_set = std::env::var_os("HOME").is_some_and(|home| !home.is_empty());
    let home = std::env::home_dir().filter(|home| !is_set && home.is_absolute());
    let home = home.map(|home| ("HOME".into(), home.into_os_string()));
    Host::new(std::env::vars_os().chain(home), SystemTime::now())
}

/// 1234567 as `1.2 MB`.
fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

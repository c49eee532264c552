//! `smolvm build`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use smolvm_build::{BuildError, BuildOptions, BuiltImage, CacheUse, EngineChoice, Memory};
use smolvm_render::shell_word;

use super::{MirrorDir, Output, Store, bytes, host};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::progress::{Progress, ProgressArguments};
use crate::terminal::Terminal;

/// Build the image that a Smolfile describes, or find it in the store
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    /// The manifest; several are built one after the other, and share layers
    #[arg(short, long = "file", value_name = "FILE", default_value = "Smolfile.yaml")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    store: Store,

    /// Also put kernel, initrd, root file system and a run configuration into this folder; of several manifests, each into one below
    /// it that is called like the image
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Who builds: `auto` takes the embedded engine where it can, and Docker for Alpine, for Docker images and elsewhere
    #[arg(long, value_enum, default_value = "auto")]
    engine: Engine,

    /// Use the download cache alone, never the network
    #[arg(long)]
    offline: bool,

    /// Build from the lock beside the Smolfile, or not at all
    #[arg(long)]
    locked: bool,

    /// Take neither the image nor a layer from the store: make all anew and replace what is there
    #[arg(long)]
    no_cache: bool,

    /// Build once more without the store, and refuse an image that differs
    #[arg(long, conflicts_with = "no_cache")]
    verify_hit: bool,

    /// How much memory the files of a build in progress may take, in MiB: half of what is available unless said, 0 for none. Where
    /// eight times the size of the packages is more than that, they lie on the disk of the store, which is slower
    #[arg(long, value_name = "MIB")]
    scratch_memory: Option<u32>,

    #[command(flatten)]
    mirror_dir: MirrorDir,

    #[command(flatten)]
    progress: ProgressArguments,

    #[command(flatten)]
    pub(super) format: Output,
}

/// Who builds.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Engine {
    Auto,
    Embedded,
    Docker,
}

impl From<Engine> for EngineChoice {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Auto => Self::Auto,
            Engine::Embedded => Self::Embedded,
            Engine::Docker => Self::Docker,
        }
    }
}

impl Arguments {
    pub(super) fn execute(&self, terminal: Terminal) -> Result<Answer, Failure> {
        let progress = Progress::new(&self.progress, terminal);
        let events = progress.events();
        // A single build needs its memory for other things.
        let memory = (self.files.len() > 1).then(Memory::default);
        let images = progress.during(async {
            if self.files.len() > 1 {
                let all: Vec<BuildOptions> = self.files.iter().map(|file| self.options(file, None)).collect();
                smolvm_build::check_together(&all)?;
            }
            let mut images = Vec::with_capacity(self.files.len());
            for file in &self.files {
                let image = smolvm_build::build(&self.options(file, memory.as_ref()), &events).await?;
                if let (Some(folder), true) = (&self.output, self.files.len() > 1) {
                    smolvm_build::deliver(&image, &folder.join(&image.name))?;
                }
                images.push(image);
            }
            Ok::<_, BuildError>(images)
        })?;
        let text: String = images.iter().map(|image| text(image, self.store.image_dir.as_deref())).collect();
        Ok(match &images[..] {
            [image] => Answer::done(text, image),
            images => Answer::done(text, &Images { images }),
        })
    }

    fn options(&self, file: &Path, memory: Option<&Memory>) -> BuildOptions {
        let mut options = BuildOptions::new(file, host());
        options.memory = memory.cloned();
        options.image_dir = self.store.folder();
        if self.files.len() == 1 {
            options.output.clone_from(&self.output);
        }
        options.engine = self.engine.into();
        options.offline = self.offline;
        options.locked = self.locked;
        options.cache = match (self.no_cache, self.verify_hit) {
            (true, _) => CacheUse::Refresh,
            (_, true) => CacheUse::Verify,
            _ => CacheUse::Use,
        };
        options.scratch_memory = self.scratch_memory.map(|mib| u64::from(mib) << 20);
        self.mirror_dir.set(&mut options);
        options
    }
}

/// What several manifests have become.
#[derive(Debug, Serialize)]
struct Images<'a> {
    images: &'a [BuiltImage],
}

fn text(image: &BuiltImage, image_dir: Option<&Path>) -> String {
    let mut text = String::new();
    let how = if image.cached { "is up to date" } else { "was built" };
    let seconds = image.duration.as_secs_f64();
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    field("kernel", &image.kernel.display());
    if let Some(initrd) = &image.initrd {
        field("initrd", &initrd.display());
    }
    field("rootfs", &image.rootfs.display());
    field("size", &format_args!("{}, {} on disk", bytes(image.size_bytes), bytes(image.disk_bytes)));
    field("boot args", &image.boot_args);
    field("try it", &run_command(&image.name, image_dir));
    format!("{} {how} ({seconds:.2} s)\n{text}", image.name)
}

/// A line for the shell that runs an image of the store that this command was given.
fn run_command(name: &str, image_dir: Option<&Path>) -> String {
    match image_dir {
        // With `=`, since a folder's name may begin with `-`.
        Some(folder) => format!("smolvm run --image-dir={} {name}", shell_word(&folder.to_string_lossy())),
        None => format!("smolvm run {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_try_names_the_store_as_a_shell_reads_it() {
        let table = [
            (None, "smolvm run dev"),
            (Some("images"), "smolvm run --image-dir=images dev"),
            (Some("my images/it's"), r"smolvm run --image-dir='my images/it'\''s' dev"),
            (Some("-x"), "smolvm run --image-dir=-x dev"),
            (Some("~/images"), "smolvm run --image-dir='~/images' dev"),
        ];
        for (folder, command) in table {
            assert_eq!(run_command("dev", folder.map(Path::new)), command);
        }
    }
}

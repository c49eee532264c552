//! `smolvm image prune`.

use clap::Args;
use smolvm_build::{BuildOptions, Pruned};

use crate::answer::Answer;
use crate::commands::{self, Output, host};
use crate::failure::Failure;
use crate::interrupt;

/// Remove what killed builds left in the store and in Docker, and layers that no image was made of; images stay
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: commands::Store,

    /// Remove every cached layer that is not in use: the next builds make theirs anew
    #[arg(long)]
    layers: bool,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let mut options = BuildOptions::new("", host());
        options.image_dir = self.store.folder();
        let pruned =
            interrupt::run(|| {}, async { smolvm_build::prune(&options, self.layers).await.map_err(Failure::from) })?;
        Ok(Answer::done(for_people(pruned), &pruned))
    }
}

fn for_people(pruned: Pruned) -> String {
    let freed = commands::bytes(pruned.layer_bytes);
    let folders =
        format!("work folders removed: {}\nlayers removed: {} ({freed})\n", pruned.work_folders, pruned.layers);
    match pruned.docker {
        Some(removed) => format!("{folders}containers and images removed from Docker: {removed}\n"),
        None => format!("{folders}Docker is not running here: nothing was looked for in it\n"),
    }
}

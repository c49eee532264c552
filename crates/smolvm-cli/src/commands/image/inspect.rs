//! `smolvm image inspect`.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};
use smolvm_store::{Image, Reproducible, Store};

use crate::answer::Answer;
use crate::commands::{self, Output, bytes};
use crate::failure::Failure;

/// Show what is known of an image
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Its name, or the beginning of its key
    image: String,

    #[command(flatten)]
    store: commands::Store,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let image = Store::open_existing(self.store.folder())?.find(&self.image)?;
        Ok(Answer::done(for_people(&image), &for_machines(&image)))
    }
}

fn for_people(image: &Image) -> String {
    let record = image.record();
    let mut text = String::new();
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    field("name", &record.name);
    field("key", &record.key);
    field("base", &format_args!("{} ({})", record.base, record.arch));
    field("packages", &record.packages);
    field("kernel", &format_args!("{} ({})", image.kernel().display(), record.kernel_source));
    if let Some(initrd) = image.initrd() {
        field("initrd", &initrd.display());
    }
    field("rootfs", &image.rootfs().display());
    field("rootfs blake3", &record.rootfs.blake3);
    field("size", &format_args!("{}, {} on disk", bytes(record.rootfs.size), bytes(record.disk_bytes)));
    field("boot args", &record.boot_args);
    match &record.reproducible {
        Reproducible::Proven => field("reproducible", &"yes"),
        Reproducible::Unproven { steps } => {
            field("reproducible", &"unproven: these steps may use the network");
            for step in steps {
                field("", &step);
            }
        }
    }
    text
}

/// The record, with the places of its files.
fn for_machines(image: &Image) -> Value {
    let mut value = json!(image.record());
    value["folder"] = json!(image.folder());
    value["kernel"]["path"] = json!(image.kernel());
    if let Some(initrd) = image.initrd() {
        value["initrd"]["path"] = json!(initrd);
    }
    value["rootfs"]["path"] = json!(image.rootfs());
    value
}

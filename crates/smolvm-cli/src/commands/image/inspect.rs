//! `smolvm image inspect`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use smolvm_render::shell_word;
use smolvm_store::{Image, Reproducible, Store};
use smolvm_vm::{Configuration, Text, Vmm, Wish};

use crate::answer::Answer;
use crate::commands::{self, Hardware, Output, bytes};
use crate::failure::Failure;
use crate::{interrupt, progress};

/// Show what is known of an image, or what a virtual machine monitor has to be told to boot it
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Its name, or the beginning of its key
    image: String,

    /// Print a command line or a configuration for this monitor instead
    #[arg(long, value_enum, value_name = "VMM")]
    format: Option<Format>,

    /// With --format: the copy of the image's disk that the guest will write on [default: NAME.ext4]
    #[arg(long, value_name = "FILE", requires = "format")]
    disk: Option<PathBuf>,

    #[command(flatten)]
    hardware: Hardware,

    #[command(flatten)]
    store: commands::Store,

    #[command(flatten)]
    pub(super) output: Output,
}

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A command line, console on the terminal, SSH on port 2222; what the guest writes is thrown away
    Qemu,
    /// A file for `firecracker --no-api --config-file`
    Firecracker,
    /// A command line
    CloudHypervisor,
    /// A file for SmolVM's launcher
    Libkrun,
}

impl From<Format> for Vmm {
    fn from(format: Format) -> Self {
        match format {
            Format::Qemu => Self::Qemu,
            Format::Firecracker => Self::Firecracker,
            Format::CloudHypervisor => Self::CloudHypervisor,
            Format::Libkrun => Self::Libkrun,
        }
    }
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let store = Store::open_existing(self.store.folder())?;
        let image = store.find(&self.image)?;
        match self.format {
            Some(format) => self.configuration(&store, &image, format.into()),
            None => Ok(Answer::done(for_people(&image), &for_machines(&image))),
        }
    }

    fn configuration(&self, store: &Store, image: &Image, vmm: Vmm) -> Result<Answer, Failure> {
        let vm_image = smolvm_build::vm_image(store, image, vmm)?;
        let disk = self.disk.clone().unwrap_or_else(|| format!("{}.ext4", image.record().name).into());
        let wish = Wish { vmm, image: &vm_image, hardware: (&self.hardware).into(), disk: &disk };
        let configuration = interrupt::run(|| {}, async { Ok(Configuration::write(&wish).await?) })?;
        // Beside the configuration, which goes to a file or a shell.
        let copy = configuration.disk.as_ref().map(|disk| copy_command(image, disk));
        if !self.output.json {
            if let Some(copy) = &copy {
                progress::line(&format!("first make the disk that the guest writes on: {copy}"));
            }
            if let Some(needs) = configuration.needs {
                progress::line(&format!("it needs {needs}"));
            }
        }
        let mut data = json!({"vmm": vmm.to_string(), "disk": configuration.disk, "copy_command": copy});
        let text = match configuration.text {
            Text::Command(command) => {
                data["command"] = json!(command);
                command
            }
            Text::Json(config) => {
                let text = format!("{config:#}\n");
                data["config"] = config;
                text
            }
        };
        Ok(Answer::done(text, &data))
    }
}

/// A copy that its owner may write on, with the holes of the original.
fn copy_command(image: &Image, disk: &Path) -> String {
    let word = |path: &Path| shell_word(&path.to_string_lossy());
    format!("cp --reflink=auto --sparse=always --no-preserve=mode -- {} {}", word(&image.rootfs()), word(disk))
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

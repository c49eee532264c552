//! What a virtual machine monitor is told about an image, for people who start it themselves.
//!
//! None of it lets a machine write on the image's own files: QEMU gets a throwaway overlay, the others a disk that is a copy
//! ([`Configuration::disk`]).

mod cloud_hypervisor;
pub(crate) mod firecracker;
mod libkrun;
mod qemu;

use std::path::{Path, PathBuf};

use serde_json::Value;
use smolvm_render::shell_word;

use crate::accelerator::Accelerator;
use crate::boot_args::Vmm;
use crate::error::VmError;
use crate::hardware::Hardware;
use crate::machine::VmImage;

/// The network device that is written down for those that need one. It has the address 172.16.0.1/24: init takes the one after it where
/// nothing else is said.
pub(crate) const TAP: &str = "tap0";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// Who boots it.
    pub vmm: Vmm,
    /// What boots, with the kernel and the boot arguments of that VMM.
    pub image: &'a VmImage,
    /// On what.
    pub hardware: Hardware,
    /// The copy of the root file system that the machine may write on. Nobody makes it here.
    pub disk: &'a Path,
}

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// A command line for a shell, or JSON.
    pub text: Text,
    /// The disk that has to be there before: a copy of the image's. QEMU needs none.
    pub disk: Option<PathBuf>,
    /// What else has to be there, in words.
    pub needs: Option<&'static str>,
}

/// How a configuration is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// For a POSIX shell.
    Command(String),
    /// For a file.
    Json(Value),
}

impl Configuration {
    /// Writes it. KVM is tried for QEMU, which takes up to a few seconds where it hangs.
    pub async fn write(wish: &Wish<'_>) -> Result<Self, VmError> {
        let accelerator = match wish.vmm {
            Vmm::Qemu => {
                let scratch = tempfile::tempdir().map_err(VmError::io("make a temporary folder"))?;
                Accelerator::probe(wish.image.arch, scratch.path()).await
            }
            _ => Accelerator::Kvm,
        };
        Self::with(wish, accelerator)
    }

    fn with(wish: &Wish<'_>, accelerator: Accelerator) -> Result<Self, VmError> {
        let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if place(wish.disk) == place(&wish.image.rootfs) {
            return Err(wish.refuse(wish.disk, "it is the image's own root file system, which no guest may write on"));
        }
        let (text, needs) = match wish.vmm {
            Vmm::Qemu => (Text::Command(qemu::command(wish, accelerator)?), None),
            Vmm::Firecracker => {
                (Text::Json(firecracker::config(wish, TAP, firecracker::GUEST)?), Some(firecracker::NEEDS))
            }
            Vmm::CloudHypervisor => (Text::Command(cloud_hypervisor::command(wish)?), Some(cloud_hypervisor::NEEDS)),
            Vmm::Libkrun => (Text::Json(libkrun::config(wish)?), Some(libkrun::NEEDS)),
        };
        let disk = (wish.vmm != Vmm::Qemu).then(|| wish.disk.to_owned());
        Ok(Self { text, disk, needs })
    }
}

impl Wish<'_> {
    /// A path as text.
    fn text<'p>(&self, path: &'p Path) -> Result<&'p str, VmError> {
        path.to_str().ok_or_else(|| self.refuse(path, "it is not UTF-8"))
    }

    fn refuse(&self, path: &Path, problem: &'static str) -> VmError {
        VmError::Path { path: path.to_owned(), vmm: self.vmm, problem }
    }

    fn initrd(&self) -> Result<Option<&str>, VmError> {
        self.image.initrd.as_deref().map(|initrd| self.text(initrd)).transpose()
    }
}

/// A program and its options, a line each.
fn command_line(program: &str, options: &[Vec<String>]) -> String {
    let mut line = program.to_owned();
    for option in options {
        line.push_str(" \\\n ");
        for word in option {
            line.push(' ');
            line.push_str(&shell_word(word));
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;

//! `--output`: an image's files in a folder of the user's, to do with as they like.

use std::io::{self, Write as _};
use std::path::Path;

use fs_err::File;
use serde::Serialize;
use smolvm_vm::copy_disk;

use crate::error::IoFailure;
use crate::{BuildError, BuiltImage};

/// What a virtual machine monitor has to be told, beside the files.
const CONFIGURATION: &str = "boot.json";

#[derive(Serialize)]
struct BootConfiguration<'a> {
    name: &'a str,
    key: &'a str,
    kernel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd: Option<&'static str>,
    rootfs: &'static str,
    boot_args: &'a str,
}

/// Copies kernel, initrd and root file system to `folder` and writes `boot.json` there. Each file appears whole or not at all.
/// The copies are the user's to write on.
pub fn deliver(image: &BuiltImage, folder: &Path) -> Result<(), BuildError> {
    let failed = |error: io::Error| {
        let help = "make sure that the folder can be written and has room; the image itself is in the store".to_owned();
        BuildError::host(IoFailure {
            doing: format!("putting the image into `{}`", folder.display()),
            error,
            help: Some(help),
        })
    };
    let names = ("vmlinuz", "initrd", "rootfs.ext4");
    let configuration = BootConfiguration {
        name: &image.name,
        key: &image.key,
        kernel: names.0,
        initrd: image.initrd.as_ref().map(|_| names.1),
        rootfs: names.2,
        boot_args: &image.boot_args,
    };
    let write = || -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(&configuration)?;
        text.push(b'\n');
        fs_err::create_dir_all(folder)?;
        copy_disk(&image.kernel, &folder.join(names.0))?;
        if let Some(initrd) = &image.initrd {
            copy_disk(initrd, &folder.join(names.1))?;
        }
        copy_disk(&image.rootfs, &folder.join(names.2))?;
        replace(&folder.join(CONFIGURATION), |file| file.write_all(&text))
    };
    write().map_err(failed)
}

fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let outcome =
        File::create(&partial).and_then(|mut file| write(&mut file)).and_then(|()| fs_err::rename(&partial, path));
    if outcome.is_err() {
        let _ = fs_err::remove_file(&partial);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_whole_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        fs_err::write(&to, "old").unwrap();
        replace(&to, |file| file.write_all(b"ne").and(Err(io::Error::other("full")))).unwrap_err();
        assert_eq!(fs_err::read_to_string(&to).unwrap(), "old");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}

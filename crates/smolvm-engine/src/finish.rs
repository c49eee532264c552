//! What both engines do to a tree in which everything is installed.

use smolvm_manifest::Layer;
use smolvm_rootfs::{Inode, Kind, RootTree};

use crate::EngineError;
use crate::edit::{Accounts, Editor};
use crate::guest;
use crate::job::Job;
use crate::volatile::remove_traces;

/// Takes the traces of building out, and says who the guest is.
pub(crate) fn finish(mut tree: RootTree, editor: &mut Editor, job: &Job) -> Result<RootTree, EngineError> {
    remove_traces(&mut tree, &editor.kept);
    for step in job.recipe.steps.iter().filter(|step| step.layer() == Layer::Identity) {
        editor.apply(&mut tree, step)?;
    }
    add_static_devices(&mut tree, job.epoch())?;
    Accounts::read(&tree)?.write(&mut tree, job.epoch())?;
    tree.clamp_times(job.epoch());
    guest::check(&tree)?;
    Ok(tree)
}

/// The nodes that a kernel without devtmpfs, or a program that runs before it is mounted, needs. They are data: nobody has to
/// be root to put them into an image. Numbers: Linux, Documentation/admin-guide/devices.txt.
fn add_static_devices(tree: &mut RootTree, epoch: i64) -> Result<(), EngineError> {
    const NODES: [(&str, u32, u32, u32); 8] = [
        ("console", 0o600, 5, 1),
        ("full", 0o666, 1, 7),
        ("null", 0o666, 1, 3),
        ("ptmx", 0o666, 5, 2),
        ("random", 0o666, 1, 8),
        ("tty", 0o666, 5, 0),
        ("urandom", 0o666, 1, 9),
        ("zero", 0o666, 1, 5),
    ];
    const LINKS: [(&str, &str); 4] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    let mut nodes: Vec<(String, Kind, u32)> = Vec::new();
    for (name, mode, major, minor) in NODES {
        nodes.push((format!("dev/{name}"), Kind::CharDevice { major, minor }, mode));
    }
    for (name, target) in LINKS {
        nodes.push((format!("dev/{name}"), Kind::Symlink(target.to_owned()), 0o777));
    }
    for folder in ["dev/pts", "dev/shm"] {
        nodes.push((folder.to_owned(), Kind::Directory, 0o755));
    }
    for (path, kind, mode) in nodes {
        tree.create_parents(&path, epoch)?;
        tree.insert(&path, Inode::new(kind, mode, 0, 0, epoch))?;
    }
    Ok(())
}

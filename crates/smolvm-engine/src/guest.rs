//! What a tree must still have when everything is done to it, so that the guest's `/init` can run.

use miette::Diagnostic;
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, elf};
use smolvm_rootfs::{Content, Kind, RootTree};
use thiserror::Error;

/// The first line of `/init` names it.
const SHELL: &str = "/bin/sh";

/// An image that would end in a kernel panic.
#[derive(Debug, Error, Diagnostic)]
#[error("the image cannot boot: {problem}")]
#[diagnostic(
    code(smolvm::engine::cannot_boot),
    help(
        "`/init` is a shell script: leave {SHELL} and what it needs in the image. If no step under `run` removed it, the base has no \
         shell: choose another one, or install `busybox` or `dash`"
    )
)]
pub struct CannotBoot {
    problem: String,
}

/// Refuses a tree in which `/init` cannot even start.
///
/// Architecture Invariant: what is asked here is about the tree alone; nothing of it is executed.
pub(crate) fn check(tree: &RootTree) -> Result<(), CannotBoot> {
    let shell = program(tree, SHELL)?;
    match loader(shell) {
        Some(loader) => program(tree, &loader).map(drop),
        None => Ok(()),
    }
}

/// A file that the kernel would execute.
fn program<'a>(tree: &'a RootTree, path: &str) -> Result<&'a Content, CannotBoot> {
    let refused = |why: &str| CannotBoot { problem: format!("`{path}` {why}") };
    let real = tree.resolve(path).map_err(|_| refused("is missing"))?;
    match tree.get(&real).map(|inode| (&inode.kind, inode.mode)) {
        Some((Kind::File(content), mode)) if mode & 0o111 != 0 => Ok(content),
        Some((Kind::File(_), _)) => Err(refused("is not executable")),
        _ => Err(refused("is not a program")),
    }
}

/// The dynamic loader that an ELF file names (its `PT_INTERP`); none for a static one, and for what is no ELF file.
fn loader(content: &Content) -> Option<String> {
    let bytes = content.read().ok()?;
    interpreter::<elf::FileHeader64<Endianness>>(&bytes)
        .or_else(|| interpreter::<elf::FileHeader32<Endianness>>(&bytes))
}

fn interpreter<Header: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<String> {
    let header = Header::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, bytes).ok()?;
    let path = segments.iter().find_map(|segment| segment.interpreter(endian, bytes).ok()?)?;
    Some(String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    use smolvm_rootfs::Inode;

    use super::*;

    /// This test itself: a program that names a loader.
    fn dynamic_program() -> Content {
        let path = std::env::current_exe().unwrap();
        Content::File { size: path.metadata().unwrap().len(), path }
    }

    fn check_nodes(nodes: &[(&str, Kind, u32)], expected: Option<&str>) {
        let mut tree = RootTree::new(0);
        for (path, kind, mode) in nodes {
            tree.create_parents(path, 0).unwrap();
            tree.insert(path, Inode::new(kind.clone(), *mode, 0, 0, 0)).unwrap();
        }
        let found = check(&tree).err().map(|error| error.problem);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_tree_without_what_the_shell_needs_is_refused() {
        let link = |target: &str| Kind::Symlink(target.to_owned());
        let script = || Kind::File(Content::bytes(*b"#!"));
        let shell = || Kind::File(dynamic_program());
        let loader = loader(&dynamic_program()).unwrap();
        let missing = format!("`{loader}` is missing");
        check_nodes(&[], Some("`/bin/sh` is missing"));
        check_nodes(
            &[("usr/bin", Kind::Directory, 0o755), ("bin", link("usr/bin"), 0o777)],
            Some("`/bin/sh` is missing"),
        );
        check_nodes(&[("bin/sh", link("dash"), 0o777)], Some("`/bin/sh` is missing"));
        check_nodes(&[("bin/sh", script(), 0o644)], Some("`/bin/sh` is not executable"));
        check_nodes(&[("bin/sh", Kind::Directory, 0o755)], Some("`/bin/sh` is not a program"));
        check_nodes(&[("bin/dash", shell(), 0o755), ("bin/sh", link("dash"), 0o777)], Some(&missing));
        check_nodes(&[("bin/sh", shell(), 0o755), (&loader, script(), 0o755)], None);
        check_nodes(&[("bin/sh", script(), 0o755)], None);
    }
}

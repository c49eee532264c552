//! Steps of a recipe that are edits of a tree and need no sandbox: users, files and identity.

mod accounts;
mod files;
mod sub_ids;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use smolvm_manifest::{LocalKind, User};
use smolvm_render::{Content, FileStep, Step};
use smolvm_rootfs::{Inode, Kind, RootTree, TreeError};
use thiserror::Error;

pub use accounts::AccountError;
pub(crate) use accounts::{Accounts, Login};
pub use files::FileError;

/// Applies steps to a tree, one after the other.
#[derive(Debug)]
pub(crate) struct Editor {
    epoch: i64,
    /// Where the contents of local files are copied to, so that what was digested is what is written.
    staging: PathBuf,
    staged: usize,
    /// Paths that the Smolfile put there: never treated as traces of the build.
    pub(crate) kept: BTreeSet<String>,
}

/// Why an edit failed.
#[derive(Debug, Error, Diagnostic)]
pub enum EditError {
    /// A user or a group.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Account(#[from] AccountError),
    /// A file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The tree refused a path.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tree(#[from] TreeError),
}

impl Editor {
    pub(crate) fn new(epoch: i64, staging: &Path) -> Self {
        Self { epoch, staging: staging.to_owned(), staged: 0, kept: BTreeSet::new() }
    }

    /// Takes the paths of a file step, which somebody else has placed, for ones that the Smolfile put there.
    pub(crate) fn keep(&mut self, tree: &RootTree, file: &FileStep) -> Result<(), EditError> {
        let target = tree.place(&file.target)?;
        match &file.content {
            Content::Bytes(_) => drop(self.kept.insert(target)),
            Content::Local(source) => {
                let names = source.entries.iter().filter(|entry| !matches!(entry.kind, LocalKind::Directory));
                self.kept.extend(names.map(|entry| files::join(&target, &entry.path)));
            }
        }
        Ok(())
    }

    /// Applies a step, or tells that it is one that needs a sandbox.
    pub(crate) fn apply(&mut self, tree: &mut RootTree, step: &Step) -> Result<(), EditError> {
        match step {
            Step::CreateUser(user) => self.create_user(tree, user),
            Step::SetPassword { user, hash } => {
                let mut accounts = Accounts::read(tree)?;
                accounts.set_password(user, hash.as_deref())?;
                Ok(accounts.write(tree, self.epoch)?)
            }
            Step::PlaceFile(file) => {
                let placed = self.write_file(tree, file)?;
                self.kept.extend(placed);
                Ok(())
            }
            Step::WriteIdentity(file) => self.write_file(tree, file).map(drop),
            Step::InstallPackages { .. } | Step::Run(_) => Ok(()),
        }
    }

    /// The account, its sub-ids, and a home folder with a copy of `/etc/skel`, mode 0755 as Debian's useradd makes it.
    fn create_user(&mut self, tree: &mut RootTree, user: &User) -> Result<(), EditError> {
        let mut accounts = Accounts::read(tree)?;
        let (uid, gid) = accounts.add(user)?;
        accounts.write(tree, self.epoch)?;
        sub_ids::grant(tree, &user.name, self.epoch)?;
        let home = tree.place(&user.home)?;
        if tree.get(&home).is_some() {
            return Ok(());
        }
        tree.create_parents(&home, self.epoch)?;
        tree.insert(&home, Inode::new(Kind::Directory, 0o755, uid, gid, self.epoch))?;
        let skeleton: Vec<(String, Inode)> = tree
            .below("etc/skel")
            .map(|(path, _, inode)| (path.trim_start_matches("etc/skel/").to_owned(), inode.clone()))
            .collect();
        for (path, inode) in skeleton {
            tree.insert(&format!("{home}/{path}"), Inode { uid, gid, mtime: self.epoch, ..inode })?;
        }
        Ok(())
    }

    /// Tells the paths that it placed.
    fn write_file(&mut self, tree: &mut RootTree, file: &FileStep) -> Result<Vec<String>, EditError> {
        let owner = match &file.owner {
            Some(owner) => Accounts::read(tree)?.owner(owner, &format!("the file `{}`", file.target))?,
            None => (0, 0),
        };
        Ok(self.place_file(tree, file, owner)?)
    }
}

//! The scratch folder of a build, and what becomes of those that killed builds left.

use std::io;
use std::path::Path;
use std::sync::Arc;

use smolvm_engine::ScratchFolder;
use smolvm_store::{Scratch, Store};

use crate::BuildError;

/// A scratch folder that is removed when the last part of the build that uses it has ended, however it ended.
pub(crate) fn scratch(store: &Store) -> Result<ScratchFolder, BuildError> {
    // What cannot be removed now is tried again by the next build; it is in nobody's way.
    let _ = store.sweep_scratch(remove);
    let scratch = store.scratch()?;
    let path = scratch.path().to_owned();
    Ok(ScratchFolder::new(path, Arc::new(Guard(Some(scratch)))))
}

#[derive(Debug)]
struct Guard(Option<Scratch>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(scratch) = self.0.take() {
            // The next build's sweep finds what this could not remove.
            let _ = scratch.close(remove);
        }
    }
}

pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    smolvm_sandbox::remove_tree(folder).map_err(io::Error::other)
}

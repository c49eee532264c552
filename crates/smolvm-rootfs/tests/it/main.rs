//! Every image that is made here is judged by the real `e2fsck`, where there is one.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it skips")]

mod archives;
mod e2fsprogs;
mod ext4;
mod ext4_any_tree;
mod listing;
mod trees;

//! Every image that is made here is judged by the real `e2fsck`, where there is one.

mod e2fsprogs;
mod ext4;
mod ext4_any_tree;
mod trees;

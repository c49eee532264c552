//! The binary, as its users meet it.

mod check;
mod documentation;
mod end_to_end;
mod failures;
mod help;
mod images;
mod init;
mod support;
mod together;

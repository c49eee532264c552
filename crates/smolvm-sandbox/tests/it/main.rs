//! The sandbox against the real kernel. Everything but [`plain_user`] and [`host`] holds for whoever runs the tests;
//! [`plain_user`] runs all of it again as a fresh user with sub-ids.

#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod costs;
mod host;
mod isolation;
mod life;
mod memory;
mod place;
mod plain_user;
mod support;
mod tree;

//! Tests of the crate from outside: real QEMU processes, with guests of a few instructions. The real boot of a real image
//! is tested where images are built, in `smolvm-cli`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail and say why they skip, as tests do"
)]

mod guest;
mod machine;

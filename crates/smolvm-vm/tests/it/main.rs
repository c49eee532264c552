//! Tests of the crate from outside: real QEMU processes, with guests of a few instructions. The real boot of a real image
//! is tested where images are built, in `smolvm-cli`.

mod guest;
mod machine;

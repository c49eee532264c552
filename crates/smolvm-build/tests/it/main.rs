//! Whole builds through the library, against the mirror that the host's apt is configured with and mirrors of our own.

mod mmdebstrap;
mod secrets;
mod support;
mod ubuntu;

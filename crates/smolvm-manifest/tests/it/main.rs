//! Tests of the manifest crate through its public face.

mod invalid;
mod surroundings;

//! Tests of the manifest crate through its public face.

mod budgets;
mod examples;
mod generated;
mod invalid;
mod keys;
mod loading;
mod locks;
mod schema;
mod surroundings;

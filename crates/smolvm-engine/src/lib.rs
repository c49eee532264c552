//! Recipes become root trees: the embedded engine.

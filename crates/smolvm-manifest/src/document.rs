//! The text of a Smolfile and where each of its values stands.

/// A Smolfile's text with its name, kept for error reports.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file's name as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

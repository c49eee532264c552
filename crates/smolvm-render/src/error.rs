//! What cannot be rendered.

use miette::Diagnostic;
use thiserror::Error;

/// Why a manifest cannot become a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum RenderError {
    /// The base is a Docker image of which the lock says nothing.
    #[error("`base: {{image: {reference}}}` starts from a Docker image that has not been looked at yet")]
    #[diagnostic(
        code(smolvm::render::image_base),
        help("Run `smolvm build` first, with Docker running: the lock then says what is in the image.")
    )]
    ImageBase {
        /// The image as written.
        reference: String,
    },

    /// A value holds a character that has no spelling where it must stand.
    #[error("`{field}` holds {character}, which {place} cannot express")]
    #[diagnostic(
        code(smolvm::render::inexpressible),
        help("Take it out of the value, or write the value to a file of its own with an entry under `files`.")
    )]
    Inexpressible {
        /// The value's place in the Smolfile, such as `env.GREETING`. Never the value: it may be a secret.
        field: String,
        /// The character, in words.
        character: &'static str,
        /// Where the value would have to stand, in words.
        place: &'static str,
    },

    /// Package sources for an image whose own ones are not known.
    #[error("`repositories` cannot be added to the Docker image `{reference}`, which is Alpine's")]
    #[diagnostic(
        code(smolvm::render::image_repositories),
        help("Use `base: alpine:3.22`, or place the whole of /etc/apk/repositories with `files`.")
    )]
    ImageRepositories {
        /// The image.
        reference: String,
    },

    /// Two keys of the Smolfile decide one path.
    #[error("`{field}` places `{target}`, which {owner}")]
    #[diagnostic(code(smolvm::render::clash), help("Drop the entry under `files`; {instead}."))]
    Clash {
        /// The entry, such as `files[2]`.
        field: String,
        /// The path in the guest.
        target: String,
        /// What else decides it, in words.
        owner: &'static str,
        /// What to use instead.
        instead: &'static str,
    },

    /// One of smolvm's own templates is broken.
    #[error("smolvm's own template `{template}` cannot be rendered: {reason}")]
    #[diagnostic(
        code(smolvm::render::template),
        help("This is a mistake in smolvm; please report it with your Smolfile.")
    )]
    Template {
        /// Which.
        template: &'static str,
        /// The template engine's words.
        reason: String,
    },
}

//! `~/.config/smolvm/config.yaml`: what this machine says about mirrors and snapshots.

use std::collections::BTreeMap;

use miette::{Diagnostic, LabeledSpan, NamedSource};
use serde::Deserialize;
use serde_yaml::{Location, Spanned};
use thiserror::Error;

use crate::address::{Address, AddressError, hide_credentials};
use crate::snapshots::SnapshotChoice;

/// The configuration of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Mirrors by archive, in the order in which they are asked.
    pub mirrors: BTreeMap<String, Vec<Address>>,
    /// By archive, where it keeps what its mirrors dropped.
    pub snapshots: BTreeMap<String, SnapshotChoice>,
}

/// What is wrong with a configuration file.
#[derive(Debug, Error, Diagnostic)]
#[error("{name} cannot be used: {message}")]
#[diagnostic(code(smolvm::config::invalid))]
pub struct ConfigError {
    name: String,
    message: String,
    /// The text, without passwords.
    #[source_code]
    source_code: NamedSource<String>,
    #[label(collection)]
    labels: Vec<LabeledSpan>,
    #[help]
    help: String,
}

const EXAMPLE: &str = "it looks like this:\n  mirrors:\n    debian: [http://mirror.example.org/debian]\n  snapshots:\n    debian: http://snapshot.example.org/debian/{timestamp}";

impl Config {
    /// Reads the text of a configuration file; `name` is what people call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Box<ConfigError>> {
        let refuse = |message: String, labels: Vec<LabeledSpan>, help: &str| {
            Box::new(ConfigError {
                name: name.to_owned(),
                message,
                source_code: NamedSource::new(name, hide_credentials(text)),
                labels,
                help: help.to_owned(),
            })
        };
        // Nothing but white space and comments is an empty configuration.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let written: Written = serde_yaml::from_str_with_options(text, options()).map_err(|error| {
            let message = hide_credentials(&plain_message(&error));
            let label = error.location().and_then(|place| label(place, message.clone()));
            refuse("it is not what a configuration looks like".to_owned(), label.into_iter().collect(), EXAMPLE)
        })?;
        let mut config = Self::default();
        let mut labels = Vec::new();
        for (archive, urls) in written.mirrors.unwrap_or_default() {
            for url in urls {
                match address(&url.value) {
                    Ok(address) => config.mirrors.entry(archive.clone()).or_default().push(address),
                    Err(error) => labels.extend(label(url.referenced, error.to_string())),
                }
            }
        }
        if !labels.is_empty() {
            return Err(refuse(
                "a mirror has no usable address".to_owned(),
                labels,
                "write addresses like `http://mirror.example.org/debian`",
            ));
        }
        for (archive, url) in written.snapshots.unwrap_or_default() {
            match url.value.parse() {
                Ok(choice) => drop(config.snapshots.insert(archive, choice)),
                Err(error) => labels.extend(label(url.referenced, AddressError::to_string(&error))),
            }
        }
        if !labels.is_empty() {
            return Err(refuse(
                "a snapshot archive has no usable address".to_owned(),
                labels,
                "write an address like `http://snapshot.example.org/debian/{timestamp}`, or `off`",
            ));
        }
        Ok(config)
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    mirrors: Option<BTreeMap<String, Vec<Spanned<String>>>>,
    snapshots: Option<BTreeMap<String, Spanned<String>>>,
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::Error,
        with_snippet: false,
    }
}

fn address(url: &str) -> Result<Address, AddressError> {
    let address: Address = url.parse()?;
    if !address.is_folder() {
        return Err(AddressError::NotAFolder { shown: address.to_string() });
    }
    Ok(address)
}

/// The message without the place, which the label shows, and in the words of whoever wrote the file.
fn plain_message(error: &serde_yaml::Error) -> String {
    let message = error.render_with_formatter(&serde_yaml::UserMessageFormatter);
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    message
        .replace("unknown field", "unknown key")
        .replace("expected one of mirrors, snapshots", "the keys are `mirrors` and `snapshots`")
}

fn label(place: Location, message: String) -> Option<LabeledSpan> {
    let span = place.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len().unwrap_or(1)).ok()?;
    Some(LabeledSpan::new(Some(message), start, length.max(1)))
}

#[cfg(test)]
mod tests;

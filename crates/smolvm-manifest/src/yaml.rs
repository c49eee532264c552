//! YAML to values and places. The only module that knows the YAML library.

mod complaint;
mod spans;
mod walk;

use std::ops::Range;

use serde_json::Value;
use serde_yaml::{DuplicateKeyPolicy, options::MergeKeyPolicy};

pub(crate) use spans::Spans;

use crate::finding::{Finding, Place};
use walk::Walk;

/// A Smolfile is written by hand. These are far above what one holds, and low enough that a hostile file costs nothing.
const MOST_BYTES: usize = 1 << 20;
const MOST_NODES: usize = 20_000;
const DEEPEST: usize = 16;
/// What all values hold together once aliases are replaced by what they stand for.
const MOST_EXPANDED_BYTES: usize = 4 << 20;

/// A document's values and their places.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    pub(crate) spans: Spans,
}

/// Reads one document. Equal keys come back beside the values, so that the mistakes in the rest are found too.
pub(crate) fn parse(text: &str) -> Result<(Parsed, Vec<Finding>), (Vec<Finding>, Spans)> {
    if text.len() > MOST_BYTES {
        let finding = Finding::new("too_large", Place::Bytes(0..0), "the file is larger than 1 MiB")
            .help("a Smolfile is a short text; put long content in files beside it and name them with `source`");
        return Err((vec![finding], Spans::default()));
    }
    let mut walk = Walk::default();
    let walked = walk.run(text);
    let Walk { spans, mut findings, .. } = walk;
    if let Err(fatal) = walked {
        findings.push(*fatal);
        return Err((findings, spans));
    }
    match serde_yaml::from_str_with_options(text, options()) {
        Ok(value) => Ok((Parsed { value, spans }, findings)),
        Err(error) => {
            let at = offset_of(&error);
            let message = format!("this is not valid YAML: {}", said(&error));
            findings.push(Finding::new("yaml", Place::Bytes(at..at), message));
            Err((findings, spans))
        }
    }
}

/// A generated document into its type. Fast, and the first complaint is the only one.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, (String, Range<usize>)> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: 8, max_documents: 1, max_aliases: 0, max_anchors: 0 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let at = offset_of(&error).min(text.len());
        (said(&error), at..next_boundary(text, at))
    })
}

/// The library's words without the place, which the caret shows.
fn said(error: &serde_yaml::Error) -> String {
    let said = error.without_snippet().to_string();
    said.split(" at line ").next().unwrap_or_default().to_owned()
}

fn offset_of(error: &serde_yaml::Error) -> usize {
    let offset = error.location().and_then(|location| location.span().byte_offset());
    offset.and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0)
}

/// The places alone; what can be found of them if the text is no YAML.
pub(crate) fn spans(text: &str) -> Spans {
    let mut walk = Walk::default();
    // A text that does not parse has places up to the point where it breaks.
    walk.run(text).ok();
    walk.spans
}

/// Duplicate keys, aliases and sizes were judged by the walk, which has the places.
fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEEPEST + 1,
            max_documents: 1,
            max_total_scalar_bytes: MOST_EXPANDED_BYTES,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 2 * MOST_NODES },
        duplicate_keys: DuplicateKeyPolicy::FirstWins,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The end of the character at `at`, for a caret under it.
fn next_boundary(text: &str, at: usize) -> usize {
    text[at..].chars().next().filter(|c| *c != '\n').map_or(at, |c| at + c.len_utf8())
}

//! What the YAML parser complains about, in the words of somebody who did not write it.

use std::ops::Range;

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::{DEEPEST, next_boundary};
use crate::finding::{Finding, Place};

/// The parser's complaint, in the words of somebody who did not write the parser.
pub(super) fn unreadable(error: &ScanError, text: &str) -> Finding {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let place = Place::Bytes(at..next_boundary(text, at));
    let quote = "put the value in quotes if it holds one of `: # { } [ ] , & * ! | > ' \" % @`";
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(at..at),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => Finding::new("yaml", place, "a tab stands where YAML wants spaces")
            .label("a tab")
            .help("indent with spaces, two for each level"),
        ErrorKind::UnknownAnchor => Finding::new("yaml", place, "this alias names no anchor above it")
            .help("define the anchor first with `&name`; to write a plain `*`, put the value in quotes"),
        ErrorKind::UnclosedQuotedScalar => {
            Finding::new("yaml", place, "a quote is opened and never closed").help("add the closing quote")
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            Finding::new("yaml", place, "between double quotes, this backslash begins no escape that YAML knows")
                .help("write `\\\\` for a backslash, or put the value in single quotes, which have no escapes")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { ']' } else { '}' };
            Finding::new("yaml", place, format!("`{open}` is opened and never closed")).help(format!("add `{close}`"))
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            Finding::new("yaml", place, format!("`{open}` is opened, and `{close}` closes it"))
                .help("close every bracket by its like, innermost first")
        }
        ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidFlowScalarIndent => {
            Finding::new("yaml", place, "inside brackets, a comma or the closing bracket is missing before this")
                .help("close the `[` or `{` that is open above, or add the comma")
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::BlockSequenceEntryNotAllowed => {
            Finding::new("yaml", place, "this does not fit the indentation of the lines above").help(
                "begin entries that belong together in the same column, and those below them two spaces further in",
            )
        }
        ErrorKind::MappingValueNotAllowed => Finding::new("yaml", place, "a second `: ` stands on this line")
            .help("put the value in quotes: 'echo: hello'"),
        ErrorKind::SimpleKeyExpected => {
            Finding::new("yaml", place, "this line is neither `key: value` nor part of the value above").help(quote)
        }
        _ => Finding::new("yaml", place, format!("this is not valid YAML: {}", error.info())).help(quote),
    }
}

pub(super) fn too_deep(range: Range<usize>) -> Finding {
    let message = format!("values are nested more than {DEEPEST} deep here");
    Finding::new("too_deep", Place::Bytes(range), message).help("nothing in a Smolfile needs that")
}

//! `oneOf`: which of its branches the user most likely meant.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::words::{an_example, list_of};
use super::{named, rule_of};
use crate::finding::{Finding, child};

/// The branch that takes a value of this type, and of those the one that knows most of its keys and then complains
/// least. None, if the type is wrong for all of them.
pub(super) fn most_likely(context: &[Vec<ValidationError<'static>>], pointer: &str) -> Option<usize> {
    let mut best: Option<(usize, (usize, usize))> = None;
    let mut undecided = false;
    for (index, errors) in context.iter().enumerate() {
        let at_the_value = |error: &&ValidationError<'_>| error.instance_path().as_str() == pointer;
        if errors.iter().filter(at_the_value).any(|error| matches!(error.kind(), ValidationErrorKind::Type { .. })) {
            continue;
        }
        let foreign: usize = errors
            .iter()
            .filter(at_the_value)
            .map(|error| match error.kind() {
                ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.len(),
                _ => 0,
            })
            .sum();
        let score = (foreign, errors.len());
        match best {
            Some((_, least)) if score > least => {}
            Some((_, least)) if score == least => undecided = true,
            _ => {
                best = Some((index, score));
                undecided = false;
            }
        }
    }
    best.filter(|_| !undecided).map(|(index, _)| index)
}

/// A map with keys of several branches: `{url: …, path: …}`.
pub(super) fn mixed(pointer: &str, rule: &Value, errors: &[ValidationError<'static>]) -> Option<Finding> {
    let branches = rule["oneOf"].as_array()?;
    let known = |key: &String| branches.iter().any(|branch| branch["properties"].get(key).is_some());
    let foreign =
        errors.iter().filter(|error| error.instance_path().as_str() == pointer).find_map(|error| {
            match error.kind() {
                ValidationErrorKind::AdditionalProperties { unexpected } if unexpected.iter().all(known) => {
                    Some(error.instance())
                }
                _ => None,
            }
        })?;
    let keys: Vec<String> = foreign.as_object()?.keys().map(|key| format!("`{key}`")).collect();
    let kinds: Vec<String> = branches
        .iter()
        .filter(|branch| branch["type"] == "object")
        .filter_map(|branch| branch["title"].as_str().map(str::to_owned))
        .collect();
    Some(
        Finding::at("clash", pointer, format!("{} cannot have {} together", named(pointer), list_of(&keys, "and")))
            .label("more than one kind")
            .help(format!("write one of {}", list_of(&kinds, "or"))),
    )
}

/// `oneOf` over nothing but `required`: a map that needs one of several keys and has none.
pub(super) fn one_of_keys(
    pointer: &str,
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
) -> Option<Finding> {
    let rule = rule_of(error);
    let keys = alternatives(rule)?;
    let only_missing =
        context.iter().flatten().all(|error| matches!(error.kind(), ValidationErrorKind::Required { .. }));
    if !only_missing {
        return None;
    }
    let ticked: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    let message = format!("{} needs {}", named(pointer), list_of(&ticked, "or"));
    let examples: Vec<String> =
        keys.iter().filter_map(|key| an_example(&child(pointer, key), &rule["properties"][*key])).collect();
    Some(
        Finding::at("missing_key", pointer, message)
            .label("has neither")
            .help(format!("add one of them, for example: {}", list_of(&examples, "or"))),
    )
}

/// The same `oneOf`, with more than one of the keys given.
pub(super) fn both_keys(pointer: &str, rule: &Value) -> Finding {
    let keys: Vec<String> = alternatives(rule).unwrap_or_default().iter().map(|key| format!("`{key}`")).collect();
    Finding::at("clash", pointer, format!("{} has both {}", named(pointer), list_of(&keys, "and")))
        .label("only one of them can be meant")
        .help(format!("keep one of {}", list_of(&keys, "and")))
}

fn alternatives(rule: &Value) -> Option<Vec<&str>> {
    rule.get("properties")?;
    rule["oneOf"].as_array()?.iter().map(|branch| branch["required"][0].as_str()).collect()
}

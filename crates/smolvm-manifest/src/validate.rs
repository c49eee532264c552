//! A document against the schema: every mistake, in our own words.

mod branch;
mod words;

use std::sync::OnceLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::finding::{Finding, Place, child, split, spoken};
use crate::schema;
use crate::shown::{is_secret, names_variable};
use crate::suggest;
use words::{an_example, inline_yaml, kind_of, list_of, quoted, wanted};

/// Checks the shape and the spelling of a document.
pub(crate) fn validate(document: &Value, text_of: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let checker = Checker { text_of };
    let mut findings = Vec::new();
    for error in validator().iter_errors(document) {
        checker.explain(&error, &mut findings);
    }
    drop_echoes(&mut findings);
    findings
}

/// A key that is missing because it is misspelt is one mistake, not two.
fn drop_echoes(findings: &mut Vec<Finding>) {
    let meant: Vec<(String, String)> = findings
        .iter()
        .filter(|finding| finding.code == "unknown_key")
        .filter_map(|finding| match &finding.place {
            Place::Key(pointer) => Some((split(pointer).0.to_owned(), finding.label.clone())),
            _ => None,
        })
        .collect();
    findings.retain(|finding| {
        let Place::Value(pointer) = &finding.place else { return true };
        let explained = |(map, label): &(String, String)| {
            map == pointer && finding.label.strip_prefix("needs ").is_some_and(|key| *label == did_you_mean(key))
        };
        finding.code != "missing_key" || !meant.iter().any(explained)
    });
}

/// `key` is in its quotes already.
fn did_you_mean(key: &str) -> String {
    format!("did you mean {key}?")
}

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let built = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .build(schema::built());
        #[expect(clippy::expect_used, reason = "the schema is a constant; a test builds it")]
        built.expect("the schema of a Smolfile is a valid schema")
    })
}

struct Checker<'a> {
    /// How the value at a pointer is written in the file.
    text_of: &'a dyn Fn(&str) -> Option<String>,
}

impl Checker<'_> {
    fn explain(&self, error: &ValidationError<'_>, findings: &mut Vec<Finding>) {
        let pointer = error.instance_path().as_str();
        let rule = rule_of(error);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                findings.extend(unexpected.iter().map(|key| unknown_key(pointer, key, rule)));
            }
            ValidationErrorKind::Required { property } => {
                findings.push(missing_key(pointer, property.as_str().unwrap_or_default(), rule));
            }
            ValidationErrorKind::Type { kind } => findings.push(self.wrong_type(pointer, error, kind, rule)),
            ValidationErrorKind::Enum { options } => findings.push(not_one_of(pointer, error.instance(), options)),
            ValidationErrorKind::Pattern { .. } | ValidationErrorKind::AnyOf { .. } => {
                findings.push(misspelt(pointer, error.instance(), rule));
            }
            ValidationErrorKind::PropertyNames { error: inner } => {
                let key = inner.instance().as_str().unwrap_or_default().to_owned();
                let rule = rule.get("propertyNames").unwrap_or(rule);
                findings.push(bad_name(pointer, &key, rule));
            }
            ValidationErrorKind::OneOfNotValid { context } => {
                if let Some(finding) = branch::one_of_keys(pointer, error, context) {
                    findings.push(finding);
                } else if let Some(branch) = branch::most_likely(context, pointer) {
                    if let Some(finding) = branch::mixed(pointer, rule, &context[branch]) {
                        findings.push(finding);
                        return;
                    }
                    for inner in &context[branch] {
                        self.explain(inner, findings);
                    }
                } else {
                    findings.push(self.no_branch(pointer, error.instance(), rule));
                }
            }
            ValidationErrorKind::OneOfMultipleValid { .. } => findings.push(branch::both_keys(pointer, rule)),
            _ => findings.push(out_of_range(pointer, error, rule)),
        }
    }

    fn wrong_type(&self, pointer: &str, error: &ValidationError<'_>, kind: &TypeKind, rule: &Value) -> Finding {
        let instance: &Value = error.instance();
        if let Value::String(text) = instance
            && rule["type"] == "boolean"
            && let Some(meant) = meant_boolean(text)
        {
            let (_, key) = split(pointer);
            return Finding::at("wrong_type", pointer, format!("{} must be true or false, not text", named(pointer)))
                .label(format!("YAML 1.2 reads `{text}` as text"))
                .help(format!("write {key}: {meant}"));
        }
        let wants_text = match kind {
            TypeKind::Single(kind) => kind.to_string() == "string",
            TypeKind::Multiple(_) => false,
        };
        let wanted =
            if pointer.is_empty() { "a map of keys, such as base: debian:bookworm".to_owned() } else { wanted(rule) };
        self.unfit(pointer, instance, wants_text, &wanted, rule)
    }

    /// No branch of a `oneOf` takes a value of this type.
    fn no_branch(&self, pointer: &str, instance: &Value, rule: &Value) -> Finding {
        let branches = rule["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let maps = |branch: &&Value| branch["type"] == "object" || branch["type"][0] == "object";
        let titles: Vec<String> = branches.iter().map(wanted).collect();
        if instance.is_object() && branches.iter().any(|branch| maps(&branch)) {
            let titles: Vec<String> = branches.iter().filter(maps).map(wanted).collect();
            return Finding::at("missing_key", pointer, format!("{} says nothing", named(pointer)))
                .label("has none of the keys")
                .help(format!("write one of {}", list_of(&titles, "or")));
        }
        if let (Value::String(text), true) = (instance, branches.iter().any(|b| b["type"][0] == "boolean"))
            && let Some(meant) = meant_boolean(text)
        {
            let (_, key) = split(pointer);
            return Finding::at(
                "wrong_type",
                pointer,
                format!("{} must be {}, not text", named(pointer), list_of(&titles, "or")),
            )
            .label(format!("YAML 1.2 reads `{text}` as text"))
            .help(format!("write {key}: {meant}"));
        }
        let wants_text = branches.iter().any(|branch| branch["type"] == "string");
        self.unfit(pointer, instance, wants_text, &list_of(&titles, "or"), rule)
    }

    fn unfit(&self, pointer: &str, instance: &Value, wants_text: bool, wanted: &str, rule: &Value) -> Finding {
        let name = named(pointer);
        if instance.is_null() {
            return Finding::at_key("nothing", pointer, format!("{name} has nothing after it"))
                .label(format!("wants {wanted}"))
                .help(with_example("write a value, or remove the key", pointer, rule));
        }
        let finding = Finding::at("wrong_type", pointer, format!("{name} must be {wanted}, not {}", kind_of(instance)))
            .label(format!("this is {}", kind_of(instance)));
        let written = (self.text_of)(pointer);
        match (instance, written) {
            (Value::Number(_) | Value::Bool(_), Some(written)) if wants_text && !is_secret(pointer) => {
                let (_, last) = split(pointer);
                let key = if last.parse::<usize>().is_ok() { String::new() } else { format!("{last}: ") };
                finding.help(match last.as_str() {
                    "size" | "tmpfs" => format!("give it a unit: {key}{written}MiB"),
                    _ => format!("put it in quotes: {key}\"{written}\""),
                })
            }
            (Value::Array(items), _) if items.len() == 1 && items[0].is_string() && wants_text => {
                finding.help("remove the brackets or the dash: it takes one value")
            }
            (Value::String(_), _) if rule["type"][0] == "array" => {
                finding.help(with_example("write a list, even for one entry", pointer, rule))
            }
            _ => match an_example(pointer, rule) {
                Some(example) => finding.help(format!("for example: {example}")),
                None => finding,
            },
        }
    }
}

/// What older YAML would have read.
fn meant_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => Some(true),
        "no" | "off" | "n" | "false" => Some(false),
        _ => None,
    }
}

/// The part of the schema that an error is about, its keyword left off.
fn rule_of(error: &ValidationError<'_>) -> &'static Value {
    let path = error.schema_path().as_str();
    let (mut parent, _) = path.rsplit_once('/').unwrap_or(("", ""));
    let schema = schema::built();
    // `required` and the like carry an index, and `oneOf/0/required` stands in the map that it speaks of.
    loop {
        match schema.pointer(parent) {
            Some(rule @ Value::Object(_)) => return rule,
            _ if parent.is_empty() => return schema,
            _ => parent = parent.rsplit_once('/').map_or("", |(outer, _)| outer),
        }
    }
}

fn unknown_key(pointer: &str, key: &str, rule: &Value) -> Finding {
    let valid: Vec<&str> =
        rule["properties"].as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
    let place = if pointer.is_empty() { String::new() } else { format!(" in `{}`", spoken(pointer)) };
    let likely = suggest::nearest(key, valid.iter().copied())
        .or_else(|| suggest::other_name_for(key).filter(|name| valid.contains(name)));
    let finding = Finding::at_key("unknown_key", child(pointer, key), format!("unknown key `{}`{place}", shorten(key)));
    let keys = format!("valid keys: {}", valid.join(", "));
    match likely {
        Some(likely) => finding.label(did_you_mean(&format!("`{likely}`"))).help(keys),
        None => finding.label("no such key").help(keys),
    }
}

fn missing_key(pointer: &str, key: &str, rule: &Value) -> Finding {
    let message = if pointer.is_empty() {
        format!("the key `{key}` is missing")
    } else {
        format!("`{}` has no `{key}`", spoken(pointer))
    };
    let property = &rule["properties"][key];
    let finding = Finding::at("missing_key", pointer, message).label(format!("needs `{key}`"));
    match an_example(&child(pointer, key), property) {
        Some(example) => finding.help(format!("add it, for example: {example}")),
        None => finding.help(format!("add `{key}`")),
    }
}

fn not_one_of(pointer: &str, instance: &Value, options: &Value) -> Finding {
    let options: Vec<String> =
        options.as_array().map(|options| options.iter().map(inline_yaml).collect()).unwrap_or_default();
    let name = named(pointer);
    if pointer == "/version" {
        return Finding::at(
            "version",
            pointer,
            format!("this smolvm does not read version {instance} of the Smolfile"),
        )
        .label("only version 1 is known")
        .help("write `version: 1`, or use the smolvm that this file was written for");
    }
    let written = instance.as_str().unwrap_or_default();
    let likely = suggest::other_name_for_value(&written.to_lowercase())
        .filter(|other| options.iter().any(|option| option == other))
        .or_else(|| suggest::nearest(written, options.iter().map(String::as_str)));
    let finding = Finding::at("not_one_of", pointer, format!("{name} cannot be {}", quoted(instance)));
    let label = match likely {
        Some(likely) => did_you_mean(&format!("`{likely}`")),
        None => "not one of those that are known".to_owned(),
    };
    let image = if pointer == "/base" { ", or {image: NAME} for a Docker image" } else { "" };
    finding.label(label).help(format!("one of: {}{image}", options.join(", ")))
}

fn misspelt(pointer: &str, instance: &Value, rule: &Value) -> Finding {
    let wants = rule["patternErrorMessage"].as_str().or(rule["errorMessage"].as_str()).unwrap_or("is not valid here");
    let name = named(pointer);
    let text = instance.as_str().unwrap_or_default();
    let finding = if is_secret(pointer) || names_variable(pointer) {
        Finding::at("spelling", pointer, format!("{name} is not valid"))
    } else if text.is_empty() {
        Finding::at("spelling", pointer, format!("{name} is empty"))
    } else {
        let title = rule["title"].as_str().unwrap_or("valid here");
        Finding::at("spelling", pointer, format!("{name}: {} is not {title}", quoted(instance)))
    };
    let finding = finding.label(words::what_is_wrong(rule, text).unwrap_or_else(|| "not like this".to_owned()));
    finding.help(format!("it {wants}"))
}

fn bad_name(pointer: &str, key: &str, rule: &Value) -> Finding {
    let wants = rule["patternErrorMessage"].as_str().unwrap_or("is not valid here");
    let title = rule["title"].as_str().unwrap_or("valid here");
    let message = if key.is_empty() {
        format!("`{}` has an entry without a name", spoken(pointer))
    } else {
        format!("`{}`: `{}` is not {title}", spoken(pointer), shorten(key))
    };
    Finding::at_key("spelling", child(pointer, key), message).label("not like this").help(format!("it {wants}"))
}

fn out_of_range(pointer: &str, error: &ValidationError<'_>, rule: &Value) -> Finding {
    let name = named(pointer);
    let (message, help) = match error.kind() {
        ValidationErrorKind::MaxProperties { limit } if *limit == 1 => {
            let keys: Vec<String> = keys_of(rule).into_iter().map(|key| format!("`{key}`")).collect();
            (format!("{name} names more than one source"), format!("keep one of {}", list_of(&keys, "and")))
        }
        ValidationErrorKind::MinProperties { .. } => {
            let keys: Vec<String> = keys_of(rule).into_iter().map(|key| format!("`{key}`")).collect();
            (format!("{name} names no source"), format!("give one of {}", list_of(&keys, "and")))
        }
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. } => (
            format!("{name} is out of range"),
            format!("it must be between {} and {}", rule["minimum"], rule["maximum"]),
        ),
        ValidationErrorKind::MaxLength { limit } => {
            (format!("{name} is too long"), format!("it may have {limit} characters"))
        }
        ValidationErrorKind::MaxItems { limit } => {
            (format!("{name} has too many entries"), format!("it may have {limit}"))
        }
        ValidationErrorKind::MinItems { .. } => {
            let help =
                an_example(pointer, rule).map_or_else(|| "add an entry".to_owned(), |e| format!("for example: {e}"));
            (format!("{name} is empty"), help)
        }
        other => (format!("{name} is not valid here"), format!("it breaks the rule `{}`", other.keyword())),
    };
    Finding::at("range", pointer, message).label("not like this").help(help)
}

fn keys_of(rule: &Value) -> Vec<&str> {
    rule["properties"].as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn with_example(advice: &str, pointer: &str, rule: &Value) -> String {
    an_example(pointer, rule).map_or_else(|| advice.to_owned(), |example| format!("{advice}, for example: {example}"))
}

/// A pointer as the subject of a sentence.
fn named(pointer: &str) -> String {
    if pointer.is_empty() { "the Smolfile".to_owned() } else { format!("`{}`", spoken(pointer)) }
}

/// A key or value that somebody may have filled with a novel.
fn shorten(text: &str) -> String {
    words::shorten(text)
}

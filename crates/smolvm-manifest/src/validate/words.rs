//! Values, types and rules of the schema as people say them.

use serde_json::Value;

use crate::finding::split;
use crate::size::bytes_of;

/// What a value is.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// What a rule of the schema wants.
pub(super) fn wanted(rule: &Value) -> String {
    if let Some(title) = rule["title"].as_str() {
        return title.to_owned();
    }
    let kind = rule["type"].as_str().or_else(|| rule["type"][0].as_str()).unwrap_or_default();
    match kind {
        "array" => "a list",
        "object" => "a map",
        "string" => "text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        _ => "something else",
    }
    .to_owned()
}

/// `a, b or c`.
pub(super) fn list_of(items: &[String], joiner: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} {joiner} {last}", most.join(", ")),
    }
}

/// How a rule's first example looks in the file.
pub(super) fn an_example(pointer: &str, rule: &Value) -> Option<String> {
    let example = match (rule["examples"].as_array(), rule["items"]["examples"].as_array()) {
        (Some(examples), _) => inline_yaml(examples.first()?),
        (None, entries) => format!("[{}]", inline_yaml(entries?.first()?)),
    };
    let (_, key) = split(pointer);
    Some(if key.is_empty() || key.parse::<usize>().is_ok() { example } else { format!("{key}: {example}") })
}

/// A value on one line of YAML, in quotes only where it needs them.
pub(super) fn inline_yaml(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline_yaml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}: {}", inline_yaml(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether YAML reads this text as text without quotes, also inside brackets.
fn is_plain(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-=+~ :".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '~'))
        && !text.starts_with('0')
        && text.parse::<f64>().is_err()
        && text.chars().all(safe)
        && !text.contains(": ")
        && !text.ends_with([' ', ':'])
        && text != "~"
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null")
}

/// A value in a message.
pub(super) fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", shorten(&text.escape_debug().to_string())),
        other => format!("`{}`", shorten(&other.to_string())),
    }
}

/// A text that somebody may have filled with a novel.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start}…")
}

/// Whether what follows the digits is a unit of sizes.
fn has_known_unit(text: &str) -> bool {
    bytes_of(&format!("1{}", text.trim_start_matches(|c: char| c.is_ascii_digit()))).is_some()
}

/// The reason where a pattern has several, so that the label can name the one that applies.
pub(super) fn what_is_wrong(rule: &Value, text: &str) -> Option<String> {
    let title = rule["title"].as_str()?;
    if text.is_empty() {
        return Some("nothing stands here".to_owned());
    }
    if text.contains(['\n', '\r']) && title != "a key, or the path of a file with keys" {
        return Some("holds a line break".to_owned());
    }
    let reason = match title {
        "a size" if text.ends_with(|c: char| c.is_ascii_digit()) => "has no unit",
        "a size" if text.contains(['.', ',']) => "is no whole number",
        "a size" if text.contains(char::is_whitespace) => "holds a space",
        "a size" if text.starts_with('-') || text.starts_with('0') => "must be more than nothing",
        "a size" if has_known_unit(text) => "has too many digits",
        "a size" => "has a unit that is not known",
        "an absolute path in the guest" if text.split('/').any(|part| part == "..") => "has `..` in it",
        "an absolute path in the guest" if !text.starts_with('/') => "is not absolute",
        "an absolute path in the guest" if text.split('/').any(|part| part == ".") => "has `.` in it",
        "an absolute path in the guest" if text.len() > 1 && text.ends_with('/') => "ends with `/`",
        "an absolute path in the guest" if text.contains("//") => "has `//` in it",
        "an absolute path in the guest" if text == "/" => "is the root folder itself",
        "a package" if text.chars().any(char::is_uppercase) => "has capital letters in it",
        "a package" if text.contains(char::is_whitespace) => "holds a space: one package for each entry",
        "an owner" if !text.contains(':') => "names no group",
        "NAME=value" if !text.contains('=') => "has no `=`",
        "an address" if !text.contains("://") => "has no http:// or https:// before it",
        "an address" if !text.starts_with("http") => "is neither http nor https",
        "an IP address" => "is no IP address",
        "a mode" if text.contains(['r', 'w', 'x', '+', '=']) => "is a symbolic mode",
        _ => return None,
    };
    Some(reason.to_owned())
}

//! What differs between the inputs of two images.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use super::{Fields, LayerInputs, PLACE};

/// One input that differs, or one field of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct InputChange {
    /// Its name: `packages: git`, `files: /etc/app`, `hostname`.
    pub input: String,
    /// Which field of it; empty for what has no parts, and for what is there only once.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What it was; none where it was not there.
    pub old: Option<String>,
    /// What it is; none where it is there no more.
    pub new: Option<String>,
}

/// Fields that follow from the one that a person would name.
const FOLLOWING: [&str; 4] = ["arch", "path", "size", "sha256"];

impl LayerInputs {
    /// What `newer` says otherwise, by name.
    pub fn changes_to(&self, newer: &Self) -> Vec<InputChange> {
        let names: BTreeSet<&String> = self.0.keys().chain(newer.0.keys()).collect();
        let mut changes: Vec<InputChange> = names
            .into_iter()
            .flat_map(|name| match (self.0.get(name), newer.0.get(name)) {
                (Some(old), Some(new)) => changed_fields(name, old, new),
                (old, new) => vec![InputChange {
                    input: name.clone(),
                    field: String::new(),
                    old: old.map(|fields| summary(name, fields)),
                    new: new.map(|fields| summary(name, fields)),
                }],
            })
            .collect();
        // Whatever comes or goes moves those behind it: that need not be said of each.
        if changes.iter().any(|change| change.field != PLACE) {
            changes.retain(|change| change.field != PLACE);
        }
        changes
    }
}

fn changed_fields(name: &str, old: &Fields, new: &Fields) -> Vec<InputChange> {
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changed: Vec<&String> = fields.into_iter().filter(|field| old.get(*field) != new.get(*field)).collect();
    for telling in ["version", "date"] {
        if changed.iter().any(|field| *field == telling) {
            changed.retain(|field| *field == telling || !FOLLOWING.contains(&field.as_str()));
        }
    }
    if changed.iter().any(|field| *field != PLACE) {
        changed.retain(|field| *field != PLACE);
    }
    let show = |fields: &Fields, field: &String| fields.get(field).map(|value| shown(name, field, value));
    changed
        .into_iter()
        .map(|field| InputChange {
            input: name.to_owned(),
            field: field.clone(),
            old: show(old, field),
            new: show(new, field),
        })
        .collect()
}

/// A whole input in a word: its version or its value; nothing where its name says all.
fn summary(name: &str, fields: &Fields) -> String {
    let telling = ["", "version", "date"].iter().find_map(|field| Some((*field, fields.get(*field)?)));
    telling.map(|(field, value)| shown(name, field, value)).filter(|value| value != "any").unwrap_or_default()
}

/// A value as people read it: digests by their beginning, times as dates.
fn shown(name: &str, field: &str, value: &str) -> String {
    let is_time = field == "date" || name == "epoch";
    let time = value.parse().ok().filter(|_| is_time).and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
    if let Some(time) = time {
        return time.date().to_string();
    }
    let word = |word: &str| {
        let is_digest = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest { word[..12].to_owned() } else { word.to_owned() }
    };
    let mut text = value.split(' ').map(word).collect::<Vec<_>>().join(" ").replace('\n', "\\n");
    if text.chars().count() > LONGEST_SHOWN {
        text = text.chars().take(LONGEST_SHOWN).chain(['…']).collect();
    }
    text
}

/// A longer value is cut.
const LONGEST_SHOWN: usize = 60;

impl fmt::Display for InputChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, field, old, new } = self;
        let after = |text: &str| if text.is_empty() { String::new() } else { format!(" {text}") };
        let (group, item) = input.split_once(": ").map_or(("", input.as_str()), |(group, item)| (group, item));
        let (group, item) = if item.is_empty() { ("", input.as_str()) } else { (group, item) };
        if !group.is_empty() {
            write!(f, "{group}: ")?;
        }
        match (old, new) {
            (None, Some(new)) if field.is_empty() => write!(f, "+ {item}{}", after(new)),
            (Some(old), None) if field.is_empty() => write!(f, "- {item}{}", after(old)),
            _ if field == PLACE => write!(f, "{item} has another place"),
            _ => {
                let field = if field == "version" || field == "date" { "" } else { field };
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                write!(f, "{item}{} {} -> {}", after(field), value(old), value(new))
            }
        }
    }
}

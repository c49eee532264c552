//! A mistake before it is tied to a text: what is wrong, and at which pointer.

use std::borrow::Cow;
use std::ops::Range;

/// Something wrong (or doubtful) at a place of the document.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The last part of the code, or the whole one if it has `::` in it.
    pub(crate) code: Cow<'static, str>,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    /// Further places that belong to it, such as the first of two equal keys.
    pub(crate) also: Vec<(Place, String)>,
    pub(crate) warning: bool,
}

/// A place of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The value at a JSON pointer.
    Value(String),
    /// The key of the value at a JSON pointer.
    Key(String),
    /// A piece of the text.
    Bytes(Range<usize>),
}

impl Finding {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, place: Place, message: impl Into<String>) -> Self {
        let code = code.into();
        let label = "here".to_owned();
        Self { code, place, message: message.into(), label, help: None, also: Vec::new(), warning: false }
    }

    pub(crate) fn at(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, Place::Value(pointer.into()), message)
    }

    pub(crate) fn at_key(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, Place::Key(pointer.into()), message)
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also.push((place, label.into()));
        self
    }

    pub(crate) fn warning(mut self) -> Self {
        self.warning = true;
        self
    }
}

/// `/files/0/target` as people say it: `files[0].target`.
pub(crate) fn spoken(pointer: &str) -> String {
    let mut spoken = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() && !spoken.is_empty() {
            spoken.push('[');
            spoken.push_str(part);
            spoken.push(']');
        } else {
            if !spoken.is_empty() {
                spoken.push('.');
            }
            spoken.push_str(&unescape(part));
        }
    }
    spoken
}

/// The pointer of a child.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer of what holds the value, and its last part.
pub(crate) fn split(pointer: &str) -> (&str, String) {
    match pointer.rsplit_once('/') {
        Some((parent, last)) => (parent, unescape(last)),
        None => ("", String::new()),
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

//! The text of a Smolfile and where each of its values stands.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::finding::{Finding, Place};
use crate::report::{ManifestErrors, Mistake};
use crate::shown::ShownText;
use crate::yaml::{self, Spans};

/// A Smolfile's text with its name, kept for error reports.
///
/// Where its values stand is found out anew when somebody asks, because only errors ask.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// The file's name as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Document {
    /// Takes the bytes of a file; text that is not UTF-8 is a mistake like any other, with its place.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ManifestErrors> {
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => return Ok(Self { name: name.to_owned(), text: text.to_owned() }),
            Err(error) => error,
        };
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let text = format!("{}{}", String::from_utf8_lossy(valid), String::from_utf8_lossy(rest));
        let broken = valid.len()..valid.len() + char::REPLACEMENT_CHARACTER.len_utf8();
        let finding = Finding::new("encoding", Place::Bytes(broken), "the file is not UTF-8 text")
            .label("this byte belongs to another encoding")
            .help("save the file as UTF-8, for example: iconv -f latin1 -t utf-8 old.yaml > Smolfile.yaml");
        let document = Self { name: name.to_owned(), text };
        Err(document.report(vec![finding], &Spans::default()))
    }

    /// Where the value at a JSON pointer (`/packages/2`) stands, in bytes. A value that an alias or a default brought
    /// has no place of its own: then it is that of the nearest value around it.
    pub fn span(&self, json_pointer: &str) -> Option<Range<usize>> {
        Some(yaml::spans(&self.text).nearest(json_pointer)?.value.clone())
    }

    /// Where the key of the value at a JSON pointer stands, in bytes.
    pub fn key_span(&self, json_pointer: &str) -> Option<Range<usize>> {
        yaml::spans(&self.text).get(json_pointer)?.key.clone()
    }

    /// A mistake that a later stage found in the value at a JSON pointer.
    ///
    /// `code` is the whole code, as in `smolvm::resolve::no_such_package`.
    pub fn error(
        &self,
        json_pointer: &str,
        message: impl Into<String>,
        help: Option<String>,
        code: impl Into<Cow<'static, str>>,
    ) -> Mistake {
        let mut finding = Finding::new(code, Place::Value(json_pointer.to_owned()), message);
        finding.help = help;
        let spans = yaml::spans(&self.text);
        let shown = Arc::new(ShownText::new(&self.name, &self.text, &spans));
        Mistake::new(finding, &spans, &shown)
    }

    /// Several mistakes of a later stage as one report.
    pub fn errors(&self, mistakes: Vec<Mistake>) -> ManifestErrors {
        ManifestErrors::new(&self.name, mistakes)
    }

    pub(crate) fn report(&self, findings: Vec<Finding>, spans: &Spans) -> ManifestErrors {
        ManifestErrors::new(&self.name, self.mistakes(findings, spans))
    }

    pub(crate) fn mistakes(&self, findings: Vec<Finding>, spans: &Spans) -> Vec<Mistake> {
        let shown = Arc::new(ShownText::new(&self.name, &self.text, spans));
        findings.into_iter().map(|finding| Mistake::new(finding, spans, &shown)).collect()
    }
}

/// A Smolfile may hold a password, so its text stays out of every `{:?}`.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).field("bytes", &self.text.len()).finish()
    }
}

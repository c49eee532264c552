//! What a person sees: every mistake of a file with its place, its reason and its fix.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};

use crate::finding::Finding;
use crate::shown::ShownText;
use crate::yaml::Spans;

/// Every mistake of a Smolfile, in the order in which they stand in it.
#[derive(Debug, Clone)]
pub struct ManifestErrors {
    name: String,
    mistakes: Vec<Mistake>,
    left_out: usize,
}

/// More than these are of no use to anybody; a hostile file could hold a million.
const MOST_MISTAKES: usize = 50;

impl ManifestErrors {
    pub(crate) fn new(name: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(Mistake::offset);
        let left_out = mistakes.len().saturating_sub(MOST_MISTAKES);
        mistakes.truncate(MOST_MISTAKES);
        Self { name: name.to_owned(), mistakes, left_out }
    }

    /// The mistakes.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() + self.left_out {
            1 => write!(f, "{}: 1 mistake", self.name),
            count => write!(f, "{}: {count} mistakes", self.name),
        }
    }
}

impl std::error::Error for ManifestErrors {}

impl Diagnostic for ManifestErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("smolvm::manifest"))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (self.left_out > 0)
            .then(|| Box::new(format!("{} more are left out", self.left_out)) as Box<dyn fmt::Display + 'a>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.mistakes.iter().map(|mistake| mistake as &dyn Diagnostic)))
    }
}

/// One mistake: what and why (`Display`), where (its labels), and what to do (its help).
#[derive(Debug, Clone)]
pub struct Mistake {
    code: String,
    message: String,
    help: Option<String>,
    labels: Vec<(Option<String>, Range<usize>)>,
    severity: Severity,
    source: Arc<ShownText>,
}

/// Something doubtful that does not stop the build.
pub type Warning = Mistake;

impl Mistake {
    pub(crate) fn new(finding: Finding, spans: &Spans, source: &Arc<ShownText>) -> Self {
        let code = if finding.code.contains("::") {
            finding.code.into_owned()
        } else {
            format!("smolvm::manifest::{}", finding.code)
        };
        let mut labels = vec![(Some(finding.label), spans.place(&finding.place, source.text()))];
        labels.extend(finding.also.into_iter().map(|(place, label)| (Some(label), spans.place(&place, source.text()))));
        let severity = if finding.warning { Severity::Warning } else { Severity::Error };
        Self { code, message: finding.message, help: finding.help, labels, severity, source: Arc::clone(source) }
    }

    /// Another label for the place it points at.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.0 = Some(label.into());
        }
        self
    }

    /// The code, as in `smolvm::manifest::unknown_key`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Where it starts in the text, in bytes.
    pub fn offset(&self) -> usize {
        self.labels.first().map_or(0, |(_, span)| span.start)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().enumerate().map(|(index, (label, span))| {
            if index == 0 {
                LabeledSpan::new_primary_with_span(label.clone(), span.clone())
            } else {
                LabeledSpan::new_with_span(label.clone(), span.clone())
            }
        })))
    }
}

//! Why a lock file cannot be used.

use std::ops::Range;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::LockFile;

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    Conflict,
    Version(u32),
    NoLock,
    Shape(String),
    Changed,
}

/// Why a lock file cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.message())]
pub struct LockError {
    problem: Problem,
    source_code: NamedSource<String>,
    span: SourceSpan,
}

impl LockError {
    pub(super) fn new(name: &str, text: &str, span: Range<usize>, problem: Problem) -> Self {
        let end = span.end.min(text.len());
        let span = span.start.min(end)..end;
        Self { problem, source_code: NamedSource::new(name, text.to_owned()), span: span.into() }
    }

    fn message(&self) -> String {
        match &self.problem {
            Problem::Conflict => "the lock file holds merge conflict markers".to_owned(),
            Problem::Version(version) => {
                format!("the lock file has version {version}, and this smolvm reads version {}", LockFile::VERSION)
            }
            Problem::NoLock => "this is no lock file: it does not say which version it has".to_owned(),
            Problem::Shape(message) => format!("the lock file is damaged: {message}"),
            Problem::Changed => {
                "the lock file is not as smolvm wrote it: it was changed by hand, by a merge or by another program"
                    .to_owned()
            }
        }
    }
}

impl Diagnostic for LockError {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(match self.problem {
            Problem::Conflict => "smolvm::lock::conflict",
            Problem::Version(_) => "smolvm::lock::version",
            Problem::NoLock | Problem::Shape(_) => "smolvm::lock::damaged",
            Problem::Changed => "smolvm::lock::changed",
        }))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(match self.problem {
            Problem::Conflict => {
                "a lock is made, not merged: delete it, settle the Smolfile, run `smolvm build` and commit the new lock"
            }
            Problem::Version(version) if version < LockFile::VERSION => {
                "an older smolvm wrote it: delete it and run `smolvm build`, which resolves the packages anew"
            }
            Problem::Version(_) => {
                "use the smolvm that wrote it, or delete it and run `smolvm build` to make a new one"
            }
            Problem::Changed => {
                "a lock is made, not edited or merged: take one back from version control as a whole, or delete it, settle \
                 the Smolfile and run `smolvm build`, which resolves the packages anew"
            }
            Problem::NoLock | Problem::Shape(_) => {
                "take it back from version control, or delete it and run `smolvm build` to make a new one"
            }
        }))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source_code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let label = match self.problem {
            Problem::Changed => "this digest belongs to another content",
            _ => "here",
        };
        Some(Box::new(std::iter::once(miette::LabeledSpan::new_primary_with_span(Some(label.to_owned()), self.span))))
    }
}

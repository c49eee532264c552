//! Source lines that are longer than the terminal is wide, cut to what stands around the caret.

use std::error::Error;
use std::fmt;

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, Severity, SourceCode, SourceSpan, SpanContents,
};

/// Line numbers and the frame, left of the source.
const GUTTER: usize = 10;
/// A cut line keeps at least so much, however narrow the terminal.
const LEAST: usize = 40;
/// More than the one line of context that a report shows around a caret.
const CONTEXT: usize = 2;

/// A report whose source lines are no wider than the terminal.
pub(super) struct Narrow<'a> {
    report: &'a dyn Diagnostic,
    /// The lines around the labels, and the labels in them; `None` where no line is too long.
    excerpt: Option<(Excerpt, Vec<LabeledSpan>)>,
    related: Vec<Self>,
}

impl<'a> Narrow<'a> {
    /// `mark` stands for what was cut off.
    pub(super) fn new(report: &'a dyn Diagnostic, width: usize, mark: &'static str) -> Self {
        Self::below(report, None, width.saturating_sub(GUTTER).max(LEAST), mark)
    }

    fn below(report: &'a dyn Diagnostic, above: Option<&'a dyn SourceCode>, room: usize, mark: &'static str) -> Self {
        let source = report.source_code().or(above);
        let excerpt = source.and_then(|source| {
            let labels: Vec<_> = report.labels()?.collect();
            let excerpt = Excerpt::of(source, &labels, room, mark)?;
            let labels = labels.iter().map(|label| excerpt.moved(label)).collect();
            Some((excerpt, labels))
        });
        let related = report.related().into_iter().flatten();
        Self { report, excerpt, related: related.map(|report| Self::below(report, source, room, mark)).collect() }
    }
}

/// Some lines of a source, the long ones cut.
struct Excerpt {
    name: Option<String>,
    text: String,
    /// How many lines of the source come before.
    lines_before: usize,
    lines: Vec<Line>,
}

/// One line, in bytes.
struct Line {
    /// Where it begins in the source.
    from: usize,
    /// Where it begins in the excerpt.
    to: usize,
    /// Where in the line what is kept begins and ends.
    kept: (usize, usize),
    /// How much stands before that in the excerpt.
    mark: usize,
}

impl Excerpt {
    /// The lines around these labels, if one of them is too long.
    fn of(source: &dyn SourceCode, labels: &[LabeledSpan], room: usize, mark: &'static str) -> Option<Self> {
        let start = labels.iter().map(LabeledSpan::offset).min()?;
        let end = labels.iter().map(|label| label.offset() + label.len()).max()?;
        let contents = source.read_span(&(start..end).into(), CONTEXT, CONTEXT).ok()?;
        let whole = std::str::from_utf8(contents.data()).ok()?;
        if whole.lines().all(|line| line.chars().count() <= room) {
            return None;
        }
        let name = contents.name().map(str::to_owned);
        let mut excerpt = Self { name, text: String::new(), lines_before: contents.line(), lines: Vec::new() };
        let mut from = contents.span().offset();
        for line in whole.split_inclusive('\n') {
            let content = line.trim_end_matches(['\r', '\n']);
            let on_line = |label: &&LabeledSpan| (from..from + line.len()).contains(&label.offset());
            let primary = labels.iter().filter(on_line).min_by_key(|label| (!label.primary(), label.offset()));
            let kept = window(content, primary.map_or(0, |label| label.offset() - from), room);
            let (before, after) = (kept.0 > 0, kept.1 < content.len());
            let marked = |cut: bool| if cut { mark } else { "" };
            let to = excerpt.text.len();
            excerpt.lines.push(Line { from, to, kept, mark: marked(before).len() });
            for part in [marked(before), &content[kept.0..kept.1], marked(after), &line[content.len()..]] {
                excerpt.text.push_str(part);
            }
            from += line.len();
        }
        Some(excerpt)
    }

    /// A label at its place in the excerpt.
    fn moved(&self, label: &LabeledSpan) -> LabeledSpan {
        let start = self.place(label.offset());
        let length = self.place(label.offset() + label.len()).saturating_sub(start);
        let text = label.label().map(str::to_owned);
        if label.primary() {
            LabeledSpan::new_primary_with_span(text, start..start + length)
        } else {
            LabeledSpan::new_with_span(text, start..start + length)
        }
    }

    /// What was cut off is where it was cut.
    fn place(&self, offset: usize) -> usize {
        let Some(line) = self.lines.iter().rev().find(|line| line.from <= offset) else { return 0 };
        line.to + line.mark + (offset - line.from).clamp(line.kept.0, line.kept.1) - line.kept.0
    }

    /// The column in the source, of a place that was not cut off.
    fn column(&self, offset: usize) -> usize {
        let Some(line) = self.lines.iter().rev().find(|line| line.to <= offset) else { return 0 };
        (offset - line.to + line.kept.0).saturating_sub(line.mark)
    }
}

/// The part of a line that is shown: `room` characters around a place, with less before it than after it.
fn window(line: &str, place: usize, room: usize) -> (usize, usize) {
    let count = line.chars().count();
    if count <= room {
        return (0, line.len());
    }
    let column = line.char_indices().take_while(|(at, _)| *at < place).count();
    let first = column.saturating_sub(room / 3).min(count - room);
    let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    (byte(first), byte(first + room))
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.as_str().read_span(span, lines_before, lines_after)?;
        let column = if lines_before == 0 { self.column(span.offset()) } else { inner.column() };
        // miette counts from the beginning of the text, and its merging of neighbours builds on that.
        let (line, count) = (self.lines_before + inner.line(), self.lines_before + inner.line_count());
        let (data, span) = (inner.data(), *inner.span());
        Ok(Box::new(match &self.name {
            Some(name) => MietteSpanContents::new_named(name.clone(), data, span, line, column, count),
            None => MietteSpanContents::new(data, span, line, column, count),
        }))
    }
}

impl fmt::Debug for Narrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.report, f)
    }
}

impl fmt::Display for Narrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.report, f)
    }
}

impl Error for Narrow<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.report.source()
    }
}

impl Diagnostic for Narrow<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.report.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.help()
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.url()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match &self.excerpt {
            Some((excerpt, _)) => Some(excerpt),
            None => self.report.source_code(),
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match &self.excerpt {
            Some((_, labels)) => Some(Box::new(labels.iter().cloned())),
            None => self.report.labels(),
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.related.iter().map(|report| report as &dyn Diagnostic)))
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        self.report.diagnostic_source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str, place: usize, room: usize) -> &str {
        let (start, end) = window(line, place, room);
        &line[start..end]
    }

    #[test]
    fn the_window_is_around_the_place_and_as_wide_as_there_is_room() {
        assert_eq!(cut("abcdefghi", 5, 9), "abcdefghi");
        assert_eq!(cut("abcdefghi", 0, 6), "abcdef");
        assert_eq!(cut("abcdefghi", 3, 6), "bcdefg");
        assert_eq!(cut("abcdefghi", 8, 6), "defghi");
        assert_eq!(cut("abcdefghi", 99, 6), "defghi");
        assert_eq!(cut("äöüäöüäöü", 6, 6), "öüäöüä");
        assert_eq!(cut("", 0, 6), "");
    }
}

//! Reports of failures and warnings: for people, and for machines.

mod narrow;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, SourceCode, ThemeCharacters, ThemeStyles};
use serde_json::{Map, Value, json};

use self::narrow::Narrow;
use crate::terminal::Terminal;

/// A report with its source lines and carets.
pub(crate) fn for_people(diagnostic: &(dyn Diagnostic + 'static), terminal: Terminal) -> String {
    let theme = GraphicalTheme {
        characters: if terminal.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if terminal.colour { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(terminal.width)
        .with_links(false)
        // Commands and pieces of YAML are broken at spaces alone.
        .with_word_separator(textwrap::WordSeparator::AsciiSpace)
        .with_word_splitter(textwrap::WordSplitter::NoHyphenation);
    let mut text = String::new();
    let narrow = Narrow::new(diagnostic, terminal.width, if terminal.unicode { "…" } else { "..." });
    match handler.render_report(&mut text, &narrow) {
        Ok(()) => text,
        Err(_) => format!("{diagnostic}\n"),
    }
}

/// `{code, message, help}`, with the place where there is one, and the single mistakes of a report that holds several.
pub(crate) fn for_machines(diagnostic: &dyn Diagnostic) -> Value {
    one(diagnostic, diagnostic.source_code())
}

fn one(diagnostic: &dyn Diagnostic, inherited: Option<&dyn SourceCode>) -> Value {
    let source = diagnostic.source_code().or(inherited);
    let mut fields = Map::new();
    fields.insert("code".to_owned(), json!(diagnostic.code().map(|code| code.to_string())));
    fields.insert("message".to_owned(), json!(diagnostic.to_string()));
    fields.insert("help".to_owned(), json!(diagnostic.help().map(|help| help.to_string())));
    if let Some(place) = place(diagnostic, source) {
        fields.extend(place);
    }
    if let Some(related) = diagnostic.related() {
        let mistakes: Vec<Value> = related.map(|mistake| one(mistake, source)).collect();
        if !mistakes.is_empty() {
            fields.insert("mistakes".to_owned(), Value::Array(mistakes));
        }
    }
    Value::Object(fields)
}

/// File, line and column of the first label, both counted from 1.
fn place(diagnostic: &dyn Diagnostic, source: Option<&dyn SourceCode>) -> Option<Map<String, Value>> {
    let label = diagnostic.labels()?.next()?;
    let content = source?.read_span(label.inner(), 0, 0).ok()?;
    let mut place = Map::new();
    if let Some(name) = content.name() {
        place.insert("file".to_owned(), json!(name));
    }
    place.insert("line".to_owned(), json!(content.line() + 1));
    place.insert("column".to_owned(), json!(content.column() + 1));
    Some(place)
}

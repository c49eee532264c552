//! YAML to values and places. The only file that knows the YAML library.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;
use serde_yaml::granit_parser::{ErrorKind, Event, Parser, ScanError, Span};
use serde_yaml::{DuplicateKeyPolicy, options::MergeKeyPolicy};

use crate::finding::{Finding, Place, child, spoken};

/// A Smolfile is written by hand. These are far above what one holds, and low enough that a hostile file costs nothing.
const MOST_BYTES: usize = 1 << 20;
const MOST_NODES: usize = 20_000;
const DEEPEST: usize = 16;
/// What all values hold together once aliases are replaced by what they stand for.
const MOST_EXPANDED_BYTES: usize = 4 << 20;

/// A document's values and their places.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    pub(crate) spans: Spans,
}

/// Reads one document. Equal keys come back beside the values, so that the mistakes in the rest are found too.
pub(crate) fn parse(text: &str) -> Result<(Parsed, Vec<Finding>), (Vec<Finding>, Spans)> {
    if text.len() > MOST_BYTES {
        let finding = Finding::new("too_large", Place::Bytes(0..0), "the file is larger than 1 MiB")
            .help("a Smolfile is a short text; put long content in files beside it and name them with `source`");
        return Err((vec![finding], Spans::default()));
    }
    let mut walk = Walk::default();
    let walked = walk.run(text);
    let Walk { spans, mut findings, .. } = walk;
    if let Err(fatal) = walked {
        findings.push(fatal);
        return Err((findings, spans));
    }
    match serde_yaml::from_str_with_options(text, options()) {
        Ok(value) => Ok((Parsed { value, spans }, findings)),
        Err(error) => {
            let at = offset_of(&error);
            let said = error.without_snippet().to_string();
            findings.push(Finding::new("yaml", Place::Bytes(at..at), format!("this is not valid YAML: {said}")));
            Err((findings, spans))
        }
    }
}

/// A generated document into its type. Fast, and the first complaint is the only one.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, (String, Range<usize>)> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: 8, max_documents: 1, max_aliases: 0, max_anchors: 0 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let at = offset_of(&error).min(text.len());
        (error.without_snippet().to_string(), at..next_boundary(text, at))
    })
}

fn offset_of(error: &serde_yaml::Error) -> usize {
    let offset = error.location().and_then(|location| location.span().byte_offset());
    offset.and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0)
}

/// The places alone; what can be found of them if the text is no YAML.
pub(crate) fn spans(text: &str) -> Spans {
    let mut walk = Walk::default();
    // A text that does not parse has places up to the point where it breaks.
    walk.run(text).ok();
    walk.spans
}

/// Duplicate keys, aliases and sizes were judged by the walk, which has the places.
fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEEPEST + 1,
            max_documents: 1,
            max_total_scalar_bytes: MOST_EXPANDED_BYTES,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 2 * MOST_NODES },
        duplicate_keys: DuplicateKeyPolicy::FirstWins,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Where every value stands, by JSON pointer.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    nodes: HashMap<String, NodeSpan>,
}

/// Where one value stands.
#[derive(Debug, Clone)]
pub(crate) struct NodeSpan {
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Range<usize>,
    pub(crate) scalar: bool,
}

impl Spans {
    pub(crate) fn get(&self, pointer: &str) -> Option<&NodeSpan> {
        self.nodes.get(pointer)
    }

    /// The value itself, or the nearest one around it that has a place.
    pub(crate) fn nearest(&self, pointer: &str) -> Option<&NodeSpan> {
        let mut pointer = pointer;
        loop {
            if let Some(node) = self.nodes.get(pointer) {
                return Some(node);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &NodeSpan)> {
        self.nodes.iter().map(|(pointer, span)| (pointer.as_str(), span))
    }

    /// The piece of text that a caret should stand under: a value that takes several lines is shown by its key, or by
    /// its first line.
    pub(crate) fn place(&self, place: &Place, text: &str) -> Range<usize> {
        let range = match place {
            Place::Bytes(range) => range.clone(),
            Place::Key(pointer) => match self.get(pointer).and_then(|node| node.key.clone()) {
                Some(key) => key,
                None => self.place(&Place::Value(pointer.clone()), text),
            },
            Place::Value(pointer) => match self.nearest(pointer) {
                Some(node) if text.get(node.value.clone()).is_some_and(|value| value.contains('\n')) => {
                    node.key.clone().unwrap_or_else(|| node.value.clone())
                }
                Some(node) if node.value.is_empty() => node.key.clone().unwrap_or_else(|| node.value.clone()),
                Some(node) => node.value.clone(),
                None => 0..0,
            },
        };
        let start = range.start.min(text.len());
        let line = text.get(start..range.end.min(text.len())).unwrap_or_default();
        start..start + line.split('\n').next().unwrap_or_default().trim_end().len()
    }
}

/// A mapping or sequence that is open.
struct Frame {
    pointer: String,
    start: usize,
    anchor: usize,
    weight_before: Weight,
    kind: FrameKind,
}

enum FrameKind {
    /// With the keys so far, and the key whose value comes next.
    Map { keys: HashMap<String, Range<usize>>, key: Option<(String, Range<usize>)> },
    /// With the number of the next entry.
    List(usize),
}

/// What a value costs once aliases are replaced by what they stand for.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

#[derive(Default)]
struct Walk {
    spans: Spans,
    findings: Vec<Finding>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Weight>,
    weight: Weight,
}

impl Walk {
    /// Visits every node once; what makes reading on pointless is the error.
    fn run(&mut self, text: &str) -> Result<(), Finding> {
        let limits = serde_yaml::granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
        };
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(text, limits) {
            let (event, span) = next.map_err(|error| unreadable(&error, text))?;
            let range = bytes_of(span, text);
            if let Some(tag) = event.tag()
                && !tag.is_yaml_core_schema()
            {
                let message = format!("the tag `{}` means nothing in a Smolfile", tag.original());
                return Err(Finding::new("tag", Place::Bytes(range), message).help("remove the tag"));
            }
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let finding = Finding::new("documents", Place::Bytes(range), "a second document begins here");
                        return Err(finding.help("a Smolfile is one document: put the second in a file of its own"));
                    }
                }
                Event::Scalar(text, _, anchor, _) => {
                    if self.expects_key() {
                        self.key(text, range)?;
                    } else {
                        self.value(range.clone(), Weight { nodes: 1, bytes: text.len() }, true)?;
                        self.remember(anchor, Weight { nodes: 1, bytes: text.len() });
                    }
                }
                Event::Alias(anchor) => {
                    if self.expects_key() {
                        return Err(odd_key(range));
                    }
                    // Unknown to us only while its own collection is still open: a value inside itself.
                    let Some(weight) = self.anchors.get(&anchor).copied() else {
                        let finding = Finding::new("alias", Place::Bytes(range), "this alias stands inside what it names");
                        return Err(finding.help("write the value out"));
                    };
                    self.value(range, weight, false)?;
                }
                Event::SequenceStart(_, anchor, _) => self.open(range, anchor, FrameKind::List(0))?,
                Event::MappingStart(_, anchor, _) => {
                    self.open(range, anchor, FrameKind::Map { keys: HashMap::new(), key: None })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(range.end, text),
                _ => {}
            }
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { kind: FrameKind::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: Cow<'_, str>, range: Range<usize>) -> Result<(), Finding> {
        self.spend(Weight { nodes: 1, bytes: text.len() }, &range)?;
        let Some(Frame { pointer, kind: FrameKind::Map { keys, key }, .. }) = self.frames.last_mut() else {
            return Ok(());
        };
        if let Some(first) = keys.get(text.as_ref()) {
            let spoken = spoken(&child(pointer, &text));
            self.findings.push(
                Finding::new("duplicate_key", Place::Bytes(range.clone()), format!("`{spoken}` is given twice"))
                    .label("the second time")
                    .also(Place::Bytes(first.clone()), "the first time")
                    .help("keep one of the two"),
            );
        } else {
            keys.insert(text.clone().into_owned(), range.clone());
        }
        *key = Some((text.into_owned(), range));
        Ok(())
    }

    /// Takes note of a value and its place, and tells its pointer.
    fn value(&mut self, range: Range<usize>, weight: Weight, scalar: bool) -> Result<String, Finding> {
        self.spend(weight, &range)?;
        let (pointer, key) = match self.frames.last_mut() {
            None => (String::new(), None),
            Some(Frame { pointer, kind: FrameKind::List(index), .. }) => {
                let pointer = format!("{pointer}/{index}");
                *index += 1;
                (pointer, None)
            }
            Some(Frame { pointer, kind: FrameKind::Map { key, .. }, .. }) => match key.take() {
                Some((text, range)) => (child(pointer, &text), Some(range)),
                None => return Err(odd_key(range)),
            },
        };
        let span = NodeSpan { key, value: range, scalar };
        self.spans.nodes.entry(pointer.clone()).or_insert(span);
        Ok(pointer)
    }

    fn open(&mut self, range: Range<usize>, anchor: usize, kind: FrameKind) -> Result<(), Finding> {
        let weight_before = self.weight;
        let start = range.start;
        let pointer = self.value(range.clone(), Weight { nodes: 1, bytes: 0 }, false)?;
        if self.frames.len() == DEEPEST {
            return Err(too_deep(range));
        }
        self.frames.push(Frame { pointer, start, anchor, weight_before, kind });
        Ok(())
    }

    fn close(&mut self, end: usize, text: &str) {
        let Some(frame) = self.frames.pop() else { return };
        let weight = Weight {
            nodes: self.weight.nodes - frame.weight_before.nodes,
            bytes: self.weight.bytes - frame.weight_before.bytes,
        };
        self.remember(frame.anchor, weight);
        if let Some(node) = self.spans.nodes.get_mut(&frame.pointer)
            && node.value.start == frame.start
        {
            let value = text.get(frame.start..end).unwrap_or_default();
            node.value.end = frame.start + value.trim_end().len();
        }
    }

    fn remember(&mut self, anchor: usize, weight: Weight) {
        if anchor != 0 {
            self.anchors.insert(anchor, weight);
        }
    }

    fn spend(&mut self, weight: Weight, range: &Range<usize>) -> Result<(), Finding> {
        self.weight.nodes += weight.nodes;
        self.weight.bytes += weight.bytes;
        let much = if self.weight.nodes > MOST_NODES {
            format!("more than {MOST_NODES} values")
        } else if self.weight.bytes > MOST_EXPANDED_BYTES {
            "more than 4 MiB of text".to_owned()
        } else {
            return Ok(());
        };
        let message = format!("the file holds {much}, counting what its aliases stand for");
        let finding = Finding::new("too_large", Place::Bytes(range.clone()), message).label("too much from here on");
        Err(finding.help("a Smolfile is a short text; put long content in files beside it and name them with `source`"))
    }
}

fn odd_key(range: Range<usize>) -> Finding {
    Finding::new("key", Place::Bytes(range), "this key is not plain text").help("write the key as a plain word")
}

fn too_deep(range: Range<usize>) -> Finding {
    let message = format!("values are nested more than {DEEPEST} deep here");
    Finding::new("too_deep", Place::Bytes(range), message).help("nothing in a Smolfile needs that")
}

fn bytes_of(span: Span, text: &str) -> Range<usize> {
    let range = span.byte_range().unwrap_or(0..0);
    range.start.min(text.len())..range.end.min(text.len())
}

/// The parser's complaint, in the words of somebody who did not write the parser.
fn unreadable(error: &ScanError, text: &str) -> Finding {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let place = Place::Bytes(at..next_boundary(text, at));
    let quote = "put the value in quotes if it holds one of `: # { } [ ] , & * ! | > ' \" % @`";
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(at..at),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => Finding::new("yaml", place, "a tab stands where YAML wants spaces")
            .label("a tab")
            .help("indent with spaces, two for each level"),
        ErrorKind::UnknownAnchor => Finding::new("yaml", place, "this alias names no anchor above it")
            .help("define the anchor first with `&name`; to write a plain `*`, put the value in quotes"),
        ErrorKind::UnclosedQuotedScalar => {
            Finding::new("yaml", place, "a quote is opened and never closed").help("add the closing quote")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { ']' } else { '}' };
            Finding::new("yaml", place, format!("`{open}` is opened and never closed")).help(format!("add `{close}`"))
        }
        _ => Finding::new("yaml", place, format!("this is not valid YAML: {}", error.info())).help(quote),
    }
}

fn next_boundary(text: &str, at: usize) -> usize {
    text[at..].chars().next().filter(|c| *c != '\n').map_or(at, |c| at + c.len_utf8())
}

//! One visit to every node: its place, its cost, and keys that come twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::granit_parser::{Event, Parser, Span};

use super::complaint::{too_deep, unreadable};
use super::spans::{NodeSpan, Spans};
use super::{DEEPEST, MOST_EXPANDED_BYTES, MOST_NODES};
use crate::finding::{Finding, Place, child, spoken};

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
pub(super) struct Walk {
    pub(super) spans: Spans,
    pub(super) findings: Vec<Finding>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Weight>,
    weight: Weight,
}

impl Walk {
    /// Visits every node once; what makes reading on pointless is the error.
    pub(super) fn run(&mut self, text: &str) -> Result<(), Box<Finding>> {
        let limits = serde_yaml::granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
        };
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(text, limits) {
            let (event, span) = next.map_err(|error| Box::new(unreadable(&error, text)))?;
            let range = bytes_of(span, text);
            if let Some(tag) = event.tag()
                && !tag.is_yaml_core_schema()
            {
                let message = format!("the tag `{}` means nothing in a Smolfile", tag.original());
                return Err(Box::new(Finding::new("tag", Place::Bytes(range), message).help("remove the tag")));
            }
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let finding = Finding::new("documents", Place::Bytes(range), "a second document begins here");
                        return Err(Box::new(
                            finding.help("a Smolfile is one document: put the second in a file of its own"),
                        ));
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
                        return Err(Box::new(odd_key(range)));
                    }
                    // Unknown to us only while its own collection is still open: a value inside itself.
                    let Some(weight) = self.anchors.get(&anchor).copied() else {
                        let finding =
                            Finding::new("alias", Place::Bytes(range), "this alias stands inside what it names");
                        return Err(Box::new(finding.help("write the value out")));
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

    fn key(&mut self, text: Cow<'_, str>, range: Range<usize>) -> Result<(), Box<Finding>> {
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
    fn value(&mut self, range: Range<usize>, weight: Weight, scalar: bool) -> Result<String, Box<Finding>> {
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
                None => return Err(Box::new(odd_key(range))),
            },
        };
        let span = NodeSpan { key, value: range, scalar };
        self.spans.nodes.entry(pointer.clone()).or_insert(span);
        Ok(pointer)
    }

    fn open(&mut self, range: Range<usize>, anchor: usize, kind: FrameKind) -> Result<(), Box<Finding>> {
        let weight_before = self.weight;
        let start = range.start;
        let pointer = self.value(range.clone(), Weight { nodes: 1, bytes: 0 }, false)?;
        if self.frames.len() == DEEPEST {
            return Err(Box::new(too_deep(range)));
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

    fn spend(&mut self, weight: Weight, range: &Range<usize>) -> Result<(), Box<Finding>> {
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
        Err(Box::new(
            finding.help("a Smolfile is a short text; put long content in files beside it and name them with `source`"),
        ))
    }
}

fn odd_key(range: Range<usize>) -> Finding {
    Finding::new("key", Place::Bytes(range), "this key is not plain text").help("write the key as a plain word")
}

fn bytes_of(span: Span, text: &str) -> Range<usize> {
    let range = span.byte_range().unwrap_or(0..0);
    range.start.min(text.len())..range.end.min(text.len())
}

//! Where the values of a document stand.

use std::collections::HashMap;
use std::ops::Range;

use crate::finding::Place;

/// Where every value stands, by JSON pointer.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    pub(super) nodes: HashMap<String, NodeSpan>,
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

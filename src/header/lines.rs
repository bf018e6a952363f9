//! Header lines whose values stand in one piece of memory. A proxied request sets about ten of them; a value of its own for each, and its
//! reference count, were twenty allocations.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::ops::Range;

/// Names, and values written one after the other. `R` says how much a line matters.
pub struct Lines<R> {
    text: Vec<u8>,
    lines: Vec<Line<R>>,
}

/// A name, and where its value stands.
pub struct Line<R> {
    pub rank: R,
    pub name: HeaderName,
    value: Range<usize>,
}

impl<R> Line<R> {
    /// Bytes of the value.
    pub fn value_len(&self) -> usize {
        self.value.len()
    }

    /// What the line takes on the wire.
    pub fn size(&self) -> usize {
        self.name.as_str().len() + self.value.len() + ": \r\n".len()
    }
}

impl<R> Lines<R> {
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Lines { text: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    /// Adds a line, unless the value cannot be written; whether it was added.
    pub fn push(&mut self, rank: R, name: &HeaderName, write_value: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let start = self.text.len();
        let written = write_value(&mut self.text);
        if written {
            self.lines.push(Line { rank, name: name.clone(), value: start..self.text.len() });
        } else {
            self.text.truncate(start);
        }
        written
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = &Line<R>> {
        self.lines.iter()
    }

    /// Takes a line out.
    pub fn remove(&mut self, at: usize) -> Line<R> {
        self.lines.remove(at)
    }

    /// Keeps the lines with these names.
    pub fn retain(&mut self, keep: impl Fn(&HeaderName) -> bool) {
        self.lines.retain(|line| keep(&line.name));
    }

    /// Ready to be set, in no more memory than they need. A value that is none, which no writer makes, becomes an empty one.
    pub fn finish(mut self) -> Box<[(HeaderName, HeaderValue)]> {
        self.text.shrink_to_fit();
        let text = Bytes::from(self.text);
        let value = |range| HeaderValue::from_maybe_shared(text.slice(range)).unwrap_or(HeaderValue::from_static(""));
        self.lines.into_iter().map(|line| (line.name, value(line.value))).collect()
    }
}

//! One field of a session: a name and a value, as JSON text.

use serde_json::value::RawValue;

/// One top-level field: name and value as JSON text. One allocation, because a proxy holds many in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// `"name":value`.
    text: Box<str>,
    /// Where the colon is.
    colon: usize,
    name: Name,
}

/// A name beside its JSON string literal.
#[derive(Clone, Debug, PartialEq)]
enum Name {
    /// What stands between the quotes.
    Literal,
    /// Another spelling than the literal's, which has escapes.
    Escaped(Box<str>),
    /// It holds a lone surrogate: JavaScript allows it, UTF-8 does not.
    Unspeakable,
}

impl Field {
    /// A field from a plain name and JSON text; `None` if the text is no JSON.
    pub fn new(name: &str, json: String) -> Option<Self> {
        Some(Field::raw(&serde_json::to_string(name).ok()?, &RawValue::from_string(json).ok()?))
    }

    /// A field from a JSON string literal and a value.
    pub(super) fn raw(literal: &str, value: &RawValue) -> Self {
        Field { text: format!("{literal}:{}", value.get()).into_boxed_str(), colon: literal.len(), name: Name::of(literal) }
    }

    /// Where it is cut: how long its text is, and where the colon is.
    pub(super) fn cut(&self) -> (usize, usize) {
        (self.text.len(), self.colon)
    }

    /// Gives it another value, which is JSON text.
    pub(super) fn set(&mut self, json: &str) {
        self.text = format!("{}:{json}", self.literal()).into_boxed_str();
    }

    /// The name; `None` if it holds a lone surrogate.
    pub fn name(&self) -> Option<&str> {
        match &self.name {
            Name::Literal => self.text.get(1..self.colon - 1),
            Name::Escaped(name) => Some(name),
            Name::Unspeakable => None,
        }
    }

    /// The name as a JSON string literal, quotes included.
    fn literal(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The value's JSON text.
    pub fn json(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// `"name":value`.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The field of this text, whose colon is there; `None` if it cannot be.
    pub(super) fn cut_at(text: &str, colon: usize) -> Option<Self> {
        Some(Field { text: text.into(), colon, name: Name::of(text.get(..colon)?) })
    }

    /// What fields of the same name have in common: the name, or where there is none the literal.
    pub(super) fn identity(&self) -> Result<&str, &str> {
        self.name().ok_or_else(|| self.literal())
    }

    pub(super) fn is_called_as(&self, other: &Field) -> bool {
        self.literal() == other.literal() || self.name().is_some() && self.name() == other.name()
    }
}

impl Name {
    fn of(literal: &str) -> Self {
        if !literal.contains('\\') {
            return Name::Literal;
        }
        serde_json::from_str::<String>(literal).map_or(Name::Unspeakable, |name| Name::Escaped(name.into_boxed_str()))
    }
}

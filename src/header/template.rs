//! Templates of `headers.set`: `{user}`, `{handle}`, `{field:email}`; `{{` and `}}` are braces.

use std::borrow::Cow;

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    User,
    Handle,
    /// A top-level field of the session.
    Field(String),
}

/// A template that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{0}}}` is no placeholder; there are {{user}}, {{handle}} and {{field:name}}")]
    Unknown(String),
    #[error("a brace is not closed; write `{{{{` or `}}}}` for a brace itself")]
    Unclosed,
}

impl Template {
    /// Compiles a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braces) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = braces.strip_prefix("{{").or_else(|| braces.strip_prefix("}}")) {
                plain.push_str(braces.get(..1).unwrap_or_default());
                rest = after;
                continue;
            }
            let (name, after) = braces.strip_prefix('{').and_then(|inside| inside.split_once('}')).ok_or(TemplateError::Unclosed)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Place(match name.split_once(':') {
                None if name == "user" => Place::User,
                None if name == "handle" => Place::Handle,
                Some(("field", field)) if !field.is_empty() => Place::Field(field.to_owned()),
                _ => return Err(TemplateError::Unknown(name.to_owned())),
            }));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// Fills the template; `None` if a placeholder stands for nothing: then no header is sent.
    pub fn fill<'a>(&self, value: impl Fn(&Place) -> Option<Cow<'a, str>>) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Place(place) => text.push_str(&value(place)?),
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> Option<String> {
        Template::parse(template).unwrap().fill(|place| match place {
            Place::User => Some("ada".into()),
            Place::Handle => None,
            Place::Field(name) => Some(format!("<{name}>").into()),
        })
    }

    #[test]
    fn placeholders_are_filled() {
        assert_eq!(fill("u={user};{field:email}{{x}}"), Some("u=ada;<email>{x}".into()));
    }

    #[test]
    fn an_absent_value_sends_no_header() {
        assert_eq!(fill("{user}{handle}"), None);
    }

    #[test]
    fn unknown_placeholders_and_open_braces_are_refused() {
        for bad in ["{nobody}", "{field:}", "{user", "user}", "{}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}

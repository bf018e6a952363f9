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
    #[error("`{{{0}}}` is unknown")]
    Unknown(String),
    #[error("a `{{` without `}}`")]
    Unclosed,
    #[error("a `}}` without `{{`")]
    Unopened,
    #[error("a control character")]
    Control,
    #[error("an empty template")]
    Empty,
}

impl Template {
    /// Compiles a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(TemplateError::Control);
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braces) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = braces.strip_prefix("{{").or_else(|| braces.strip_prefix("}}")) {
                plain.push_str(braces.get(..1).unwrap_or_default());
                rest = after;
                continue;
            }
            let inside = braces.strip_prefix('{').ok_or(TemplateError::Unopened)?;
            let (name, after) = inside.split_once('}').ok_or(TemplateError::Unclosed)?;
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
        if !plain.is_empty() {
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
    fn braces_themselves_are_doubled() {
        assert_eq!(fill("{{{user} <{field:mail.address}>}}"), Some("{ada <<mail.address>>}".into()));
    }

    #[test]
    fn a_wrong_template_names_its_fault() {
        let unknown = |name: &str| Err(TemplateError::Unknown(name.to_owned()));

        assert_eq!(Template::parse("{usr}"), unknown("usr"));
        assert_eq!(Template::parse("{field:}"), unknown("field:"));
        assert_eq!(Template::parse("{}"), unknown(""));
        assert_eq!(Template::parse("a {user"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("a}b {handle}"), Err(TemplateError::Unopened));
        assert_eq!(Template::parse("a\r\nb: {user}"), Err(TemplateError::Control));
        assert_eq!(Template::parse(""), Err(TemplateError::Empty));
    }
}

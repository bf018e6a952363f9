//! `[headers]` and a route's `headers`: what the app is told. A route overrides the global keys one by one.

use super::cookie::is_token;
use super::notes::{At, Notes};
use super::reader::{Entry, Section};
use super::report::{Problem, nearest, one_of, shown};
use super::session;
use crate::header::names;
use crate::route::{Encoding, Fields, HeaderSettings, Overflow};

const ENCODINGS: [(&str, Encoding); 4] =
    [("percent", Encoding::Percent), ("base64url", Encoding::Base64Url), ("latin1", Encoding::Latin1), ("raw", Encoding::Raw)];

/// The settings without any key.
pub(super) fn defaults() -> HeaderSettings {
    HeaderSettings { fields: Fields::All, encoding: Encoding::Percent, max_bytes: 8 << 10, overflow: Overflow::Drop, set: Vec::new() }
}

/// Reads a table on top of other settings.
pub(super) fn read(mut section: Section<'_, '_>, base: &HeaderSettings) -> HeaderSettings {
    let settings = HeaderSettings {
        fields: section.take("fields").and_then(fields).unwrap_or_else(|| base.fields.clone()),
        encoding: section.choice("encoding", &ENCODINGS).map_or(base.encoding, |chosen| chosen.value),
        max_bytes: section.size("max_bytes", 1 << 10..=1 << 20).unwrap_or(base.max_bytes),
        overflow: section
            .choice("overflow", &[("drop", Overflow::Drop), ("error", Overflow::Error)])
            .map_or(base.overflow, |chosen| chosen.value),
        set: merge(&base.set, templates(section.section("set", "`headers.set`"))),
    };
    section.finish();
    settings
}

/// The name as a CGI-like stack sees it.
pub(super) fn folded(name: &str) -> String {
    names::folded(&name.to_ascii_lowercase()).into_owned()
}

fn merge(base: &[(String, String)], own: Vec<(String, String)>) -> Vec<(String, String)> {
    let overridden = |name: &str| own.iter().any(|(other, _)| folded(other) == folded(name));
    let kept: Vec<_> = base.iter().filter(|(name, _)| !overridden(name)).cloned().collect();
    kept.into_iter().chain(own).collect()
}

fn fields(entry: Entry<'_, '_>) -> Option<Fields> {
    match entry.as_text() {
        Some("all") => Some(Fields::All),
        Some("none") => Some(Fields::None),
        Some(word) => {
            let help = nearest(word, ["all", "none"]).map_or_else(|| format!("[\"{}\"]", shown(word)), |right| format!("`{right}`"));
            entry.notes.add(entry.wrong("must be `all`, `none` or a list of fields").help(format!("did you mean {help}?")));
            None
        }
        None => session::fields(entry).map(Fields::Only),
    }
}

fn templates(mut section: Section<'_, '_>) -> Vec<(String, String)> {
    let notes = section.notes;
    let mut read: Vec<(String, String)> = Vec::new();
    for (name, entry) in section.take_rest() {
        if let Some(why) = refusal(&name.value) {
            let problem = Problem::error(format!("`headers.set` cannot set `{}`", shown(&name.value))).at(&name.span, why);
            notes.add(problem.help("choose another header, such as `Remote-User`"));
            continue;
        }
        if let Some((twin, _)) = read.iter().find(|(other, _)| folded(other) == folded(&name.value)) {
            let problem = Problem::error(format!("`{}` and `{twin}` are the same header to many apps", name.value));
            notes.add(problem.at(&name.span, "differs in case, `_` or `.` only").help("keep one of them"));
            continue;
        }
        if let Some(template) = entry.text().filter(|template| check(notes, template)) {
            read.push((name.value, template.value));
        }
    }
    read
}

fn refusal(name: &str) -> Option<&'static str> {
    const OURS: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"];
    const FRAMING: [&str; 10] =
        ["host", "cookie", "set-cookie", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive"];
    // What a set header is called is taken from every client on every route: these belong to the client.
    const CLIENT: [&str; 8] = ["accept", "expect", "origin", "referer", "range", "date", "content-type", "content-encoding"];
    let folded = folded(name);
    if !is_token(name) {
        Some("not a header name")
    } else if CLIENT.contains(&folded.as_str()) || ["sec-", "if-", "access-control-"].iter().any(|prefix| folded.starts_with(prefix)) {
        Some("what the client's own request says")
    } else if folded.starts_with("x-session-") || OURS.contains(&folded.as_str()) {
        Some("written by the proxy itself")
    } else if folded.starts_with("proxy-") || FRAMING.contains(&folded.as_str()) {
        Some("part of the connection or of the request's frame")
    } else {
        None
    }
}

/// Checks `{user}`, `{handle}`, `{field:name}` and `{{`; reports what is wrong.
fn check(notes: &Notes<'_>, template: &At<String>) -> bool {
    let outcome = placeholders(&template.value);
    let (why, help) = match outcome {
        Ok(()) => return true,
        Err(TemplateError::Empty) => ("an empty template".to_owned(), "write what the header should say, as in \"{user}\"".to_owned()),
        Err(TemplateError::Control) => ("a control character".to_owned(), "a header is one line of text".to_owned()),
        Err(TemplateError::Unclosed) => ("a `{` without `}`".to_owned(), "write `{{` for a brace itself".to_owned()),
        Err(TemplateError::Unknown(name)) => {
            let known = ["{user}", "{handle}", "{field:name}"];
            let braced = format!("{{{}}}", shown(&name));
            let help = match nearest(&braced, ["{user}", "{handle}"]) {
                Some(right) => format!("did you mean `{right}`?"),
                None => format!("write {}, or `{{{{` for a brace itself", one_of(known)),
            };
            (format!("`{braced}` is unknown"), help)
        }
    };
    notes.add(Problem::error("not a header template").at(&template.span, why).help(help));
    false
}

#[derive(Debug, PartialEq, Eq)]
enum TemplateError {
    Empty,
    Control,
    Unclosed,
    Unknown(String),
}

fn placeholders(template: &str) -> Result<(), TemplateError> {
    if template.is_empty() {
        return Err(TemplateError::Empty);
    }
    if template.chars().any(char::is_control) {
        return Err(TemplateError::Control);
    }
    let mut rest = template;
    while let Some((_, behind)) = rest.split_once('{') {
        rest = match behind.strip_prefix('{') {
            Some(behind_literal) => behind_literal,
            None => {
                let (name, behind) = behind.split_once('}').ok_or(TemplateError::Unclosed)?;
                let is_field = name.strip_prefix("field:").is_some_and(|field| !field.is_empty());
                if !is_field && name != "user" && name != "handle" {
                    return Err(TemplateError::Unknown(name.to_owned()));
                }
                behind
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_three_placeholders_and_a_literal_brace() {
        assert_eq!(placeholders("{{{user} <{field:mail.address}> {handle}}"), Ok(()));
    }

    #[test]
    fn a_wrong_template_names_its_fault() {
        let unknown = |name: &str| Err(TemplateError::Unknown(name.to_owned()));

        assert_eq!(placeholders("{usr}"), unknown("usr"));
        assert_eq!(placeholders("{field:}"), unknown("field:"));
        assert_eq!(placeholders("a {user"), Err(TemplateError::Unclosed));
        assert_eq!(placeholders("a\r\nb: {user}"), Err(TemplateError::Control));
        assert_eq!(placeholders(""), Err(TemplateError::Empty));
    }

    #[test]
    fn reserved_names_are_refused_in_every_spelling() {
        let refused =
            ["Host", "te", "X_Session.User", "PROXY_AUTHORIZATION", "X-Forwarded-For", "a b", ""].map(|name| refusal(name).is_some());

        assert_eq!(refused, [true; 7]);
        assert_eq!(refusal("X-Forwarded-User"), None);
    }

    #[test]
    fn a_routes_own_template_wins_over_the_global_one() {
        let pair = |name: &str, template: &str| (name.to_owned(), template.to_owned());

        let merged = merge(&[pair("A", "{user}"), pair("Remote-User", "{user}")], vec![pair("remote_user", "{handle}")]);

        assert_eq!(merged, [pair("A", "{user}"), pair("remote_user", "{handle}")]);
    }
}

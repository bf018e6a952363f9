//! `[headers]` and a route's `headers`: what the app is told. A route overrides the global keys one by one.

use super::cookie::is_token;
use super::notes::{At, Notes};
use super::reader::{Entry, Section};
use super::report::{Problem, nearest, one_of, shown};
use super::session;
use crate::header::names;
use crate::route::{Encoding, Fields, HeaderSettings, Overflow, Template, TemplateError};
use http::HeaderName;

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
fn folded(name: &str) -> String {
    names::folded(&name.to_ascii_lowercase()).into_owned()
}

fn merge(base: &[(HeaderName, Template)], own: Vec<(HeaderName, Template)>) -> Vec<(HeaderName, Template)> {
    let overridden = |name: &HeaderName| own.iter().any(|(other, _)| folded(other.as_str()) == folded(name.as_str()));
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

fn templates(mut section: Section<'_, '_>) -> Vec<(HeaderName, Template)> {
    let notes = section.notes;
    let (mut seen, mut read): (Vec<String>, _) = (Vec::new(), Vec::new());
    for (name, entry) in section.take_rest() {
        if let Some(why) = refusal(&name.value) {
            let problem = Problem::error(format!("`headers.set` cannot set `{}`", shown(&name.value))).at(&name.span, why);
            notes.add(problem.help("choose another header, such as `Remote-User`"));
            continue;
        }
        if let Some(twin) = seen.iter().find(|other| folded(other) == folded(&name.value)) {
            let problem = Problem::error(format!("`{}` and `{twin}` are the same header to many apps", name.value));
            notes.add(problem.at(&name.span, "differs in case, `_` or `.` only").help("keep one of them"));
            continue;
        }
        // What is no token was refused above.
        let header = HeaderName::from_bytes(name.value.as_bytes());
        if let (Some(template), Ok(header)) = (entry.text().and_then(|text| compiled(notes, &text)), header) {
            seen.push(name.value);
            read.push((header, template));
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

/// Compiles a template, or reports what is wrong with it.
fn compiled(notes: &Notes<'_>, text: &At<String>) -> Option<Template> {
    let fault = match Template::parse(&text.value) {
        Ok(template) => return Some(template),
        Err(fault) => fault,
    };
    let help = match &fault {
        TemplateError::Empty => "write what the header should say, as in \"{user}\"".to_owned(),
        TemplateError::Control => "a header is one line of text".to_owned(),
        TemplateError::Unclosed => "write `{{` for a brace itself".to_owned(),
        TemplateError::Unopened => "write `}}` for a brace itself".to_owned(),
        TemplateError::Unknown(name) => {
            let known = ["{user}", "{handle}", "{field:name}"];
            match nearest(&format!("{{{name}}}"), ["{user}", "{handle}"]) {
                Some(right) => format!("did you mean `{right}`?"),
                None => format!("write {}, or `{{{{` for a brace itself", one_of(known)),
            }
        }
    };
    notes.add(Problem::error("not a header template").at(&text.span, fault.to_string()).help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_in_every_spelling() {
        let refused =
            ["Host", "te", "X_Session.User", "PROXY_AUTHORIZATION", "X-Forwarded-For", "a b", ""].map(|name| refusal(name).is_some());

        assert_eq!(refused, [true; 7]);
        assert_eq!(refusal("X-Forwarded-User"), None);
    }

    #[test]
    fn a_routes_own_template_wins_over_the_global_one() {
        let pair = |name: &str, template: &str| (name.parse().unwrap(), Template::parse(template).unwrap());

        let merged = merge(&[pair("A", "{user}"), pair("Remote-User", "{user}")], vec![pair("remote_user", "{handle}")]);

        assert_eq!(merged, [pair("A", "{user}"), pair("remote_user", "{handle}")]);
    }
}

//! `[[routes]]`: each table becomes one complete [`Route`], and none may hide another.

use super::headers;
use super::notes::{At, Notes};
use super::reader::{Entry, Section};
use super::report::{Problem, nearest, shown};
use super::require::{self, Demands};
use super::session;
use super::store;
use super::upstreams::{self, Upstream};
use crate::inbound::{Host, PathPolicy, Target};
use crate::route::{HeaderSettings, HostPattern, PathPattern, Pattern, Route, SessionUse, Timeouts, WhenDown, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What routes take from other sections.
pub(super) struct Surroundings<'a> {
    pub(super) headers: &'a HeaderSettings,
    pub(super) when_down: WhenDown,
    /// Whether there is a login page of ours.
    pub(super) has_login: bool,
    /// Our own cookie's name.
    pub(super) cookie_name: &'a str,
    pub(super) upstreams: &'a mut BTreeMap<String, Upstream>,
}

/// Reads all routes in order.
pub(super) fn read(notes: &Notes<'_>, entry: Option<Entry<'_, '_>>, mut around: Surroundings<'_>) -> Vec<Arc<Route>> {
    let mut routes: Vec<At<Arc<Route>>> = Vec::new();
    let listed = match entry {
        Some(entry) => match entry.list() {
            Some(listed) => listed.value,
            None => return Vec::new(),
        },
        None => Vec::new(),
    };
    if listed.is_empty() {
        let problem = Problem::error("there are no routes: nothing would be served");
        notes.add(problem.help("add\n\n[[routes]]\nupstream = \"http://127.0.0.1:3000\""));
    }
    for item in listed {
        let span = item.span.clone();
        let Some(route) = item.section("`[[routes]]`").and_then(|table| read_one(table, &mut around)) else { continue };
        report_hidden(notes, &routes, &route, &span);
        routes.push(At { value: Arc::new(route), span });
    }
    routes.into_iter().map(|route| route.value).collect()
}

fn report_hidden(notes: &Notes<'_>, earlier: &[At<Arc<Route>>], route: &Route, span: &Range<usize>) {
    let Some(winner) = earlier.iter().find(|winner| winner.value.pattern.covers(&route.pattern)) else { return };
    let problem = if winner.value.pattern == route.pattern {
        Problem::error(format!("the route `{}` is there twice", shown(&route.name))).at(span, "again").also(&winner.span, "first here")
    } else {
        let title = format!("the route `{}` is never reached", shown(&route.name));
        Problem::error(title).at(span, "never reached").also(&winner.span, format!("`{}` always wins", shown(&winner.value.name)))
    };
    notes.add(problem.help("the first match wins: put the narrower route first, or remove one"));
}

fn read_one(mut section: Section<'_, '_>, around: &mut Surroundings<'_>) -> Option<Route> {
    let notes = section.notes;
    let span = section.span().cloned().unwrap_or_default();
    let (pattern, is_sound) = pattern(section.section("match", "`match`"));
    let Demands { session, require, unauthenticated } = require::demands(&mut section, around.has_login);
    let upstream = section.take("upstream");
    if upstream.is_none() {
        let problem = Problem::error("a route without `upstream`").at(&span, "goes nowhere");
        notes.add(problem.help("add upstream = \"http://127.0.0.1:3000\", the name of one of your upstreams, or \"demo\""));
    }
    let upstream = upstream.and_then(Entry::text);
    if let Some(upstream) = &upstream {
        upstreams::resolve(notes, upstream, around.upstreams);
    }
    let (write, login) = permissions(&mut section, session);
    let route = Route {
        name: name_of(&pattern),
        session,
        unauthenticated,
        require,
        upstream: upstream.map_or_else(String::new, |upstream| upstream.value),
        write,
        login,
        touch: section.flag("touch").is_none_or(|flag| flag.value),
        origins: section.take("origins").and_then(origins).unwrap_or_default(),
        end_app_cookies: section
            .take("end_app_cookies")
            .and_then(|entry| require::end_app_cookies(entry, around.cookie_name))
            .unwrap_or_default(),
        strip_prefix: section.text("strip_prefix").and_then(|prefix| strip_prefix(notes, prefix, &pattern.path)),
        preserve_host: section.flag("preserve_host").is_none_or(|flag| flag.value),
        timeout: timeouts(section.section("timeout", "`timeout`")),
        max_body: section.take("max_body").and_then(|entry| entry.size(&(0..=1 << 50), true)).flatten(),
        when_down: store::when_down(&mut section).unwrap_or(around.when_down),
        headers: headers::read(section.section("headers", "a route's `headers`"), around.headers),
        pattern,
    };
    section.finish();
    // A route whose pattern is wrong would seem to match everything, and hide others.
    is_sound.then_some(route)
}

fn name_of(pattern: &Pattern) -> String {
    let methods = pattern.methods.as_ref().map(|methods| format!("{} ", methods.iter().map(String::as_str).collect::<Vec<_>>().join("|")));
    let host = pattern.host.as_ref().map(ToString::to_string);
    format!("{}{}{}", methods.unwrap_or_default(), host.unwrap_or_default(), pattern.path)
}

/// The second value tells whether the pattern is what its writer meant.
fn pattern(mut section: Section<'_, '_>) -> (Pattern, bool) {
    let notes = section.notes;
    let before = notes.count();
    let host = section.text("host").and_then(|host| parsed(notes, "host", &host, HostPattern::parse));
    let path = section.text("path").and_then(|path| {
        check_reachable(notes, &path);
        parsed(notes, "path", &path, PathPattern::parse)
    });
    let methods = section.take("methods").and_then(methods);
    section.finish();
    (Pattern { host, path: path.unwrap_or_default(), methods }, notes.count() == before)
}

/// A path that no request can have keeps nobody out, though its writer may think so.
fn check_reachable(notes: &Notes<'_>, text: &At<String>) {
    let literal = text.value.strip_suffix("/*").unwrap_or(&text.value);
    if !literal.starts_with('/') {
        return;
    }
    if literal == "/.cloakroom" || literal.starts_with("/.cloakroom/") {
        let problem = Problem::error(format!("`match.path` cannot be `{}`", shown(&text.value))).at(&text.span, "Cloakroom's own pages");
        notes.add(problem.help("remove the route: no app ever sees these paths"));
        return;
    }
    let escaped = percent_encoding::utf8_percent_encode(literal, percent_encoding::CONTROLS).to_string();
    let Ok(host) = Host::parse(b"localhost") else { return };
    if PathPattern::parse(&text.value).is_ok() && Target::parse(escaped.as_bytes(), &host, false, PathPolicy::Strict).is_err() {
        let problem = Problem::error(format!("no request has a path like `{}`", shown(&text.value))).at(&text.span, "never matches");
        notes.add(
            problem.help("write the path as it is after decoding, without `//`, `;`, `%2F` and the like: ambiguous paths are refused"),
        );
    }
}

fn parsed<T, E: std::fmt::Display>(notes: &Notes<'_>, key: &str, text: &At<String>, parse: fn(&str) -> Result<T, E>) -> Option<T> {
    let fault = match parse(&text.value) {
        Ok(value) => return Some(value),
        Err(fault) => fault,
    };
    let problem = Problem::error(format!("`match.{key}` cannot be `{}`", shown(&text.value))).at(&text.span, fault.to_string());
    notes.add(match key {
        "host" => problem.help("write a host, as in \"app.example.com\" or \"*.example.com\"; leave it out for all hosts"),
        _ => problem.help("write \"/admin/*\" for a path and all below it, \"/admin\" for exactly that one"),
    });
    None
}

fn methods(entry: Entry<'_, '_>) -> Option<BTreeSet<String>> {
    let notes = entry.notes;
    let At { value: listed, span } = entry.texts()?;
    if listed.is_empty() {
        notes.add(Problem::error("`methods` is empty").at(&span, "matches nothing").help("leave it out for all methods"));
        return None;
    }
    let mut methods = BTreeSet::new();
    for At { value, span } in listed {
        let upper = value.to_ascii_uppercase();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            let problem = Problem::error(format!("`{}` is no method", shown(&value))).at(&span, "not a method");
            notes.add(problem.help(if upper == value {
                "write one as in \"GET\"".to_owned()
            } else {
                format!("did you mean \"{}\"?", shown(&upper))
            }));
            continue;
        }
        if value == "GET" {
            // HEAD is GET without the content (RFC 9110 section 9.3.2): who may do one may do the other.
            methods.insert("HEAD".to_owned());
        }
        methods.insert(value);
    }
    Some(methods)
}

fn permissions(section: &mut Section<'_, '_>, session: SessionUse) -> (Write, bool) {
    let notes = section.notes;
    let write = section.take("write");
    let write_span = write.as_ref().map(|entry| entry.span.clone());
    let write = write.and_then(permitted).unwrap_or_default();
    let login = section.flag("login").filter(|flag| flag.value);
    let clash = |key: &str, span: &Range<usize>| {
        let problem = Problem::error(format!("`{key}` on a route with session = \"off\"")).at(span, "there is no session to change");
        notes.add(problem.help(format!("remove `{key}`, or write session = \"optional\"")));
    };
    if session == SessionUse::Off {
        write_span.iter().filter(|_| write != Write::None).for_each(|span| clash("write", span));
        login.iter().for_each(|flag| clash("login", &flag.span));
    }
    (write, login.is_some())
}

fn permitted(entry: Entry<'_, '_>) -> Option<Write> {
    match entry.as_text() {
        Some("all") => Some(Write::All),
        Some(word) => {
            let help = nearest(word, ["all"]).map_or_else(|| format!("[\"{}\"]", shown(word)), |right| format!("`{right}`"));
            entry.notes.add(entry.wrong("must be `all` or a list of fields").help(format!("did you mean {help}?")));
            None
        }
        None => session::fields(entry).map(|fields| if fields.is_empty() { Write::None } else { Write::Fields(fields) }),
    }
}

fn origins(entry: Entry<'_, '_>) -> Option<Vec<String>> {
    let notes = entry.notes;
    let read = entry.texts()?.value.into_iter().filter_map(|At { value, span }| {
        let origin = origin(&value);
        if origin.is_none() {
            let problem = Problem::error(format!("`{}` is no origin", shown(&value))).at(&span, "not an origin");
            notes.add(problem.help("write the scheme and the host of a site, without a path, as in \"https://app.example.com\""));
        }
        origin
    });
    Some(read.collect())
}

/// As browsers write it (RFC 6454, 6.2): lower case, no default port.
fn origin(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://")?;
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            port.parse::<u16>().ok()?;
            host
        }
        _ => authority,
    };
    let host = HostPattern::parse(host).ok()?;
    matches!(host, HostPattern::Exact(_)).then(|| format!("{scheme}://{authority}"))
}

fn strip_prefix(notes: &Notes<'_>, prefix: At<String>, path: &PathPattern) -> Option<String> {
    let text = &prefix.value;
    let is_path = text.len() > 1 && !text.ends_with('/') && matches!(PathPattern::parse(text), Ok(PathPattern::Exact(_)));
    if !is_path {
        let problem = Problem::error(format!("`strip_prefix` cannot be `{}`", shown(text))).at(&prefix.span, "not the beginning of a path");
        notes.add(problem.help("it begins with `/` and does not end with it, as in \"/admin\""));
        return None;
    }
    let base = match path {
        PathPattern::Exact(path) | PathPattern::Prefix(path) => path,
    };
    let stripped = PathPattern::parse(&format!("{text}/*")).unwrap_or_default();
    let reachable = stripped.matches(base) || (matches!(path, PathPattern::Prefix(_)) && path.matches(text));
    if !reachable {
        let problem =
            Problem::error(format!("`strip_prefix` never applies on `{}`", shown(&path.to_string()))).at(&prefix.span, "no such path here");
        notes.add(problem.help("make it the beginning of `match.path`"));
    }
    Some(prefix.value)
}

fn timeouts(mut section: Section<'_, '_>) -> Timeouts {
    let range = || Duration::from_millis(1)..=Duration::from_secs(86_400 * 7);
    let timeouts = Timeouts {
        connect: section.duration("connect", range()).unwrap_or(Duration::from_secs(2)),
        read: section.duration("read", range()).unwrap_or(Duration::from_secs(60)),
        idle_websocket: section.duration("idle_websocket", range()).unwrap_or(Duration::from_secs(300)),
    };
    section.finish();
    timeouts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        let read = ["HTTPS://App.example.com:443", "http://a:3000", "http://[::1]:80", "http://[::1]"].map(|text| origin(text).unwrap());

        assert_eq!(read, ["https://app.example.com", "http://a:3000", "http://[::1]", "http://[::1]"]);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        let read = ["app.example.com", "https://a/", "ftp://a", "https://*.a", "null", "https://a:b"].map(origin);

        assert_eq!(read, [const { None }; 6]);
    }
}

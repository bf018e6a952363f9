//! The request target: origin-form or an absolute-form that names this host, in one canonical reading (RFC 9112 section 3.2).

use super::{Host, Malformed};

/// What happens to paths that software reads in different ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathPolicy {
    /// They are refused.
    #[default]
    Strict,
    /// Empty and dot segments are resolved, needless escapes undone; the rest is refused.
    Normalize,
}

/// A canonical path and query: what is matched is what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: Option<String>,
}

impl Target {
    /// Reads a target as it came over the wire. `*` is for OPTIONS only.
    pub fn parse(raw: &[u8], host: &Host, is_options: bool, policy: PathPolicy) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(raw).map_err(|_| Malformed::Target)?;
        if !text.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b'#') {
            return Err(Malformed::Target);
        }
        if text == "*" && is_options {
            return Ok(Target { path: text.to_owned(), query: None });
        }
        let local = if text.starts_with('/') { text } else { without_origin(text, host)? };
        let (path, query) = match local.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (local, None),
        };
        let path = match policy {
            _ if is_plain(path) => path.to_owned(),
            PathPolicy::Strict => unescaped(strict(path)?)?,
            PathPolicy::Normalize => strict(&normalized(path)?)?.to_owned(),
        };
        Ok(Target { path, query: query.map(str::to_owned) })
    }

    /// The path, beginning with `/` (or `*`).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// Whether there is one reading only, whatever the policy: no escape, no empty or dotted segment, no parameter. Most paths are like this.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let plain = !matches!((before, byte), (_, b'%' | b'\\' | b';') | (b'/', b'/' | b'.'));
        before = byte;
        plain
    })
}

/// The local part of `http://host/path`; the host must be the request's own.
fn without_origin<'a>(text: &'a str, host: &Host) -> Result<&'a str, Malformed> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let rest = if lower.starts_with("http://") {
        text.get(7..)
    } else if lower.starts_with("https://") {
        text.get(8..)
    } else {
        None
    };
    let rest = rest.ok_or(Malformed::Target)?;
    let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if Host::parse(authority.as_bytes())? != *host {
        return Err(Malformed::Host);
    }
    match local {
        "" => Ok("/"),
        local if local.starts_with('/') => Ok(local),
        _ => Err(Malformed::Target),
    }
}

/// A path that decoding, merging slashes, resolving dots or cutting parameters cannot turn into one of another place. Letter case is not
/// folded, because paths differ by it (RFC 3986 section 6.2.2.1): an app that ignores it must not stand behind a narrow rule for some of its
/// paths and a wide one that lets the rest pass.
fn strict(path: &str) -> Result<&str, Malformed> {
    let refused = Err(Malformed::AmbiguousPath);
    // More than two dots are a name to most software, and nothing or a way up to some.
    let is_dots = |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b == b'.');
    if path.contains("//") || path.contains(['\\', ';']) || path.split('/').any(is_dots) {
        return refused;
    }
    let mut escapes: Vec<u8> = Vec::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(Malformed::Target)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Malformed::Target)?;
        match byte {
            0x00..=0x1f | 0x7f => return Err(Malformed::Target),
            // What a second reader may take for a delimiter, a dot, a parameter, an end, or the start of another escape.
            b'/' | b'\\' | b'.' | b';' | b'?' | b'#' | b'%' => return refused,
            _ => {}
        }
        rest = rest.get(at + 3..).unwrap_or_default();
        if byte == b' ' && (rest.is_empty() || rest.starts_with('/')) {
            return refused;
        }
        if byte >= 0x80 {
            escapes.push(byte);
            if rest.starts_with('%') {
                continue;
            }
        }
        check_utf8(&escapes)?;
        escapes.clear();
    }
    check_utf8(&escapes)?;
    Ok(path)
}

/// Escaped text must be UTF-8 without characters that some software folds into `/`, `.` or `\`.
fn check_utf8(escaped: &[u8]) -> Result<(), Malformed> {
    let text = std::str::from_utf8(escaped).map_err(|_| Malformed::AmbiguousPath)?;
    let folds =
        |c: char| matches!(c, '\u{ff0f}' | '\u{ff0e}' | '\u{ff3c}' | '\u{ff1b}' | '\u{2215}' | '\u{2044}' | '\u{3002}' | '\u{2024}');
    if text.chars().any(folds) { Err(Malformed::AmbiguousPath) } else { Ok(()) }
}

/// RFC 3986 sections 6.2.2.1 and 6.2.2.2: needless escapes undone, the others in upper case. Every app reads `/%61dmin` as `/admin`,
/// so routes must see it and the app must get it as such.
fn unescaped(path: &str) -> Result<String, Malformed> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let digits = escape.get(1..3).ok_or(Malformed::Target)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Malformed::Target)?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            decoded.push(char::from(byte));
        } else {
            decoded.push('%');
            decoded.push_str(&digits.to_ascii_uppercase());
        }
        rest = escape.get(3..).unwrap_or_default();
    }
    decoded.push_str(rest);
    Ok(decoded)
}

/// The same, and empty and dot segments resolved (RFC 3986 section 6.2.2.3).
fn normalized(path: &str) -> Result<String, Malformed> {
    let decoded = unescaped(path)?;
    let mut kept: Vec<&str> = Vec::new();
    let ends_open = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop().ok_or(Malformed::AmbiguousPath)?),
            segment => kept.push(segment),
        }
    }
    let mut path = format!("/{}", kept.join("/"));
    if ends_open && path.len() > 1 {
        path.push('/');
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str, policy: PathPolicy) -> Result<String, Malformed> {
        let target = Target::parse(raw.as_bytes(), &Host::parse(b"app.example.com").unwrap(), false, policy)?;
        Ok(target.query().map_or_else(|| target.path().to_owned(), |query| format!("{}?{query}", target.path())))
    }

    #[test]
    fn plain_targets_pass_unchanged() {
        for raw in ["/", "/a/b.css", "/a?b=c%2f..//", "/%E4%BD%A0", "/a%20b", "/a:b@c,d", "/~x/(1)"] {
            assert_eq!(parse(raw, PathPolicy::Strict).as_deref(), Ok(raw));
        }
    }

    #[test]
    fn needless_escapes_are_undone_and_the_others_have_one_spelling() {
        for (raw, canonical) in [("/%61dmin/%7Euser", "/admin/~user"), ("/%e4%bd%a0", "/%E4%BD%A0"), ("/a%2cb", "/a%2Cb")] {
            assert_eq!(parse(raw, PathPolicy::Strict).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for raw in [
            "//a",
            "/a/../b",
            "/a/.",
            "/a;b",
            "/a%2fb",
            "/a%5Cb",
            "/%2e%2e/b",
            "/a%3bb",
            "/a%23",
            "/a%3f",
            "/a%252f",
            "/a%20",
            "/a%20/b",
            "/%c0%af",
            "/%ff",
            "/%ef%bc%8fa",
            "/a\\b",
            "/%00",
            "/%7f",
            "/%zz",
            "/%",
            "/a%e4",
        ] {
            assert!(parse(raw, PathPolicy::Strict).is_err(), "{raw}");
        }
    }

    #[test]
    fn absolute_form_of_this_host_becomes_origin_form() {
        assert_eq!(parse("http://App.example.com/p?q", PathPolicy::Strict).as_deref(), Ok("/p?q"));
        assert_eq!(parse("https://app.example.com", PathPolicy::Strict).as_deref(), Ok("/"));
        for raw in [
            "http://evil.example/p",
            "http://app.example.com@evil.example/",
            "ftp://app.example.com/",
            "ws://app.example.com/",
            "foo",
            "?q",
            "*",
            "/a b",
            "/ä",
            "/a#b",
            "",
        ] {
            assert!(parse(raw, PathPolicy::Strict).is_err(), "{raw}");
        }
    }

    #[test]
    fn normalizing_resolves_what_it_can_and_refuses_the_rest() {
        for (raw, canonical) in [
            ("//a//b", "/a/b"),
            ("/a/../b/./c", "/b/c"),
            ("/%7euser/%61", "/~user/a"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.", "/a/"),
            ("/%e4%bd%a0", "/%E4%BD%A0"),
        ] {
            assert_eq!(parse(raw, PathPolicy::Normalize).as_deref(), Ok(canonical));
        }
        for raw in ["/../a", "/a%2fb", "/a;b", "/a%5cb", "/%00"] {
            assert!(parse(raw, PathPolicy::Normalize).is_err(), "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_reading_of_an_accepted_path_is_another_path(raw in "(/|\\.|;|%2f|%2e|%5c|%3b|%25|%20|%c0%af|%ef%bc%8f|\\\\|a|private){1,8}") {
            let raw = format!("/{raw}");
            if let Ok(path) = parse(&raw, PathPolicy::Strict) {
                let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
                proptest::prop_assert_eq!(decoded.split('/').count(), path.split('/').count());
                let has_dots = decoded.split('/').any(|segment| !segment.is_empty() && segment.bytes().all(|b| b == b'.'));
                proptest::prop_assert!(!decoded.contains("//") && !has_dots);
            }
        }
    }
}

//! The session cookie: read as express-session reads it, written as it writes it (report: `cookie` 0.7.2, RFC 6265bis).

use crate::clock::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::time::Duration;

/// Browsers keep no cookie for longer (RFC 6265bis section 5.5).
pub(crate) const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// What JavaScript's `encodeURIComponent` escapes.
const COMPONENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'!').remove(b'~').remove(b'*').remove(b'\'').remove(b'(').remove(b')');

/// `SameSite` (RFC 6265bis section 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// `Priority`, a Chromium extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Priority {
    Low,
    Medium,
    High,
}

/// A cookie's attributes but for its lifetime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    pub domain: Option<String>,
    pub path: String,
    pub http_only: bool,
    pub secure: bool,
    pub partitioned: bool,
    pub priority: Option<Priority>,
    pub same_site: Option<SameSite>,
}

impl SameSite {
    /// The spelling in `Set-Cookie`.
    pub fn as_str(self) -> &'static str {
        match self {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        }
    }
}

impl Priority {
    /// The spelling in `Set-Cookie`.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "Low",
            Priority::Medium => "Medium",
            Priority::High => "High",
        }
    }
}

/// The values of every cookie called `name` in the request's `Cookie` lines, decoded, in order.
///
/// Names and values are trimmed of spaces and tabs, one pair of quotes is removed, bytes are Latin-1, `%XX` is UTF-8; if any escape
/// is malformed nothing is decoded. Express looks at the first one only; a visitor may well have two after a change of path.
pub fn values<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in lines {
        let mut rest = Some(line);
        while let Some(pairs) = rest {
            let (pair, others) = parted(pairs, b';');
            rest = others;
            let (key, Some(value)) = parted(pair, b'=') else { continue };
            if trimmed(key) == name.as_bytes() {
                found.push(decoded(unquoted(trimmed(value))));
            }
        }
    }
    found
}

/// What is before the first separator, and what is behind it if there is one.
pub fn parted(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(separator, bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (bytes, None),
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |at| at + 1);
    bytes.get(start..end).unwrap_or_default()
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        _ => value,
    }
}

fn decoded(value: &[u8]) -> String {
    percent_decoded(value).unwrap_or_else(|| value.iter().map(|b| char::from(*b)).collect())
}

/// JavaScript's `decodeURIComponent` over Latin-1 text; `None` if an escape is malformed, or a run of them no UTF-8.
fn percent_decoded(value: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value;
    while let (plain, Some(escaped)) = parted(rest, b'%') {
        push_latin1(plain, &mut text);
        let [high, low, after @ ..] = escaped else { return None };
        text.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
        rest = after;
    }
    push_latin1(rest, &mut text);
    // Whole characters stand around each run, so all of it is UTF-8 exactly if each run is.
    String::from_utf8(text).ok()
}

fn push_latin1(bytes: &[u8], text: &mut Vec<u8>) {
    if bytes.is_ascii() {
        return text.extend_from_slice(bytes);
    }
    for byte in bytes {
        text.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `Set-Cookie` lines for one cookie, with everything prepared that does not change from answer to answer.
#[derive(Clone, Debug)]
pub struct CookieWriter {
    name: String,
    place: String,
    flags: String,
    attributes: Attributes,
}

impl CookieWriter {
    /// A writer for this name and these attributes, which the configuration has checked.
    pub fn new(name: &str, attributes: Attributes) -> Self {
        let mut place = String::new();
        if let Some(domain) = &attributes.domain {
            place.push_str("; Domain=");
            place.push_str(domain);
        }
        place.push_str("; Path=");
        place.push_str(&attributes.path);
        let mut flags = String::new();
        for (flag, on) in [("; HttpOnly", attributes.http_only), ("; Secure", attributes.secure), ("; Partitioned", attributes.partitioned)]
        {
            flags.push_str(if on { flag } else { "" });
        }
        if let Some(priority) = attributes.priority {
            flags.push_str("; Priority=");
            flags.push_str(priority.as_str());
        }
        if let Some(same_site) = attributes.same_site {
            flags.push_str("; SameSite=");
            flags.push_str(same_site.as_str());
        }
        CookieWriter { name: name.to_owned(), place, flags, attributes }
    }

    /// The cookie's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the line will say but for name, value and lifetime.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The line that gives the browser `value` for `lifetime`, at most 400 days; `None`: until the browser closes.
    /// `Max-Age` is for browsers with wrong clocks, `Expires` for the rest.
    pub fn set(&self, value: &str, lifetime: Option<Duration>, now: Timestamp) -> String {
        let mut line = format!("{}={}{}", self.name, utf8_percent_encode(value, COMPONENT), self.place);
        if let Some(lifetime) = lifetime {
            let lifetime = lifetime.min(LONGEST);
            let expires = httpdate::fmt_http_date(now.plus(lifetime).to_system_time());
            // Writing to a string cannot fail.
            let _ = write!(line, "; Max-Age={}; Expires={expires}", lifetime.as_millis().div_ceil(1000));
        }
        line.push_str(&self.flags);
        line
    }

    /// The line that makes the browser forget the cookie: same name, domain, path and flags.
    pub fn clear(&self) -> String {
        format!("{}={}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{}", self.name, self.place, self.flags)
    }
}

/// Whether a cookie of this path is sent with a request for `path` (RFC 6265 section 5.1.4).
pub fn path_matches(cookie_path: &str, path: &str) -> bool {
    path.strip_prefix(cookie_path).is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

/// Whether a browser at this host accepts a cookie with this `Domain` (RFC 6265 section 5.1.3).
pub fn domain_matches(domain: &str, host: &str) -> bool {
    let domain = domain.trim_start_matches('.');
    let Some((rest, end)) = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at)) else { return false };
    end.eq_ignore_ascii_case(domain) && (rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_domain_ends_at_a_label() {
        for (domain, host, accepted) in [
            ("example.com", "example.com", true),
            ("example.com", "App.Example.com", true),
            (".example.com", "app.example.com", true),
            ("example.com", "badexample.com", false),
            ("app.example.com", "example.com", false),
            ("example.com", "127.0.0.1", false),
        ] {
            assert_eq!(domain_matches(domain, host), accepted, "{domain} {host}");
        }
    }

    fn one(header: &[u8]) -> Vec<String> {
        values([header].into_iter(), "sid")
    }

    #[test]
    fn every_cookie_of_the_name_is_found() {
        assert_eq!(values([b"sid=1; a=2; sid=3".as_slice(), b"sid=4"].into_iter(), "sid"), ["1", "3", "4"]);
    }

    #[test]
    fn blanks_quotes_and_escapes_are_read_as_express_reads_them() {
        for (header, value) in [
            ("sid=\ta\t", "a"),
            ("sid=\"a b\"", "a b"),
            ("x; sid = a=b", "a=b"),
            ("sid=s%3Aa", "s:a"),
            ("sid=%e4%bd%a0", "你"),
            ("sid=%zz%3A", "%zz%3A"),
            ("sid=%ff", "%ff"),
            ("sid=\"", "\""),
        ] {
            assert_eq!(one(header.as_bytes()), [value], "{header}");
        }
        assert_eq!(one(b"sid=\xe9%41"), ["éA"]);
    }

    #[test]
    fn names_are_exact() {
        assert!(one(b"SID=1; sidx=2; xsid=3; s%69d=4").is_empty());
    }

    #[test]
    fn a_line_is_written_in_express_order_with_max_age() {
        let attributes = Attributes {
            domain: Some("example.com".into()),
            path: "/".into(),
            http_only: true,
            secure: true,
            partitioned: true,
            priority: Some(Priority::High),
            same_site: Some(SameSite::Lax),
        };
        let writer = CookieWriter::new("sid", attributes);

        let line = writer.set("s:apple.D8Y+p/", Some(Duration::from_millis(59_001)), Timestamp(0));

        assert_eq!(
            line,
            "sid=s%3Aapple.D8Y%2Bp%2F; Domain=example.com; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:59 GMT; HttpOnly; Secure; Partitioned; Priority=High; SameSite=Lax"
        );
    }

    #[test]
    fn a_browser_session_cookie_has_no_lifetime() {
        let writer = CookieWriter::new("sid", Attributes { path: "/".into(), ..Attributes::default() });

        assert_eq!(writer.set("x", None, Timestamp(0)), "sid=x; Path=/");
    }

    #[test]
    fn no_lifetime_is_longer_than_400_days() {
        let writer = CookieWriter::new("sid", Attributes { path: "/".into(), ..Attributes::default() });

        assert!(writer.set("x", Some(Duration::from_secs(u64::from(u32::MAX))), Timestamp(0)).contains("Max-Age=34560000;"));
    }

    #[test]
    fn a_cookie_path_ends_at_a_segment() {
        for (cookie, path, sent) in [
            ("/", "/a", true),
            ("/admin", "/admin", true),
            ("/admin", "/admin/x", true),
            ("/admin", "/administrator", false),
            ("/a/", "/a/b", true),
            ("/a/", "/a", false),
        ] {
            assert_eq!(path_matches(cookie, path), sent, "{cookie} {path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_value_survives_the_journey(value in "\\PC{1,40}") {
            let writer = CookieWriter::new("sid", Attributes { path: "/".into(), ..Attributes::default() });
            let line = writer.set(&value, None, Timestamp(0));
            let pair = line.split(';').next().unwrap();
            proptest::prop_assert_eq!(values([pair.as_bytes()].into_iter(), "sid"), [value]);
        }

        #[test]
        fn no_cookie_header_panics(header in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            values([header.as_slice()].into_iter(), "sid");
        }
    }
}

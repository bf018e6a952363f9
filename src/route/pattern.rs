//! What a route matches: host, path and method, each read once and then only compared.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// What a request must look like for its route. An absent part matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// The host, without port.
    pub host: Option<HostPattern>,
    /// The path, without query.
    pub path: PathPattern,
    /// The methods, upper case as on the wire.
    pub methods: Option<BTreeSet<String>>,
}

impl Pattern {
    /// Whether every request that `other` matches is matched by this pattern too: a route behind it is unreachable.
    pub fn covers(&self, other: &Pattern) -> bool {
        let host = match (&self.host, &other.host) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine.covers(theirs),
        };
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine.is_superset(theirs),
        };
        host && methods && self.path.covers(&other.path)
    }

    /// Whether the host fits; `host` is lower case and has no port.
    pub fn matches_host(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|pattern| pattern.matches(host))
    }

    /// Whether the method fits, case-sensitively (RFC 9110, 9.1).
    pub fn matches_method(&self, method: &str) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }
}

/// One host, or all below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `app.example.com`, lower case.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: one label or more in front of it.
    Below(String),
}

impl HostPattern {
    /// Reads `app.example.com`, `*.example.com`, `192.0.2.1` or `[::1]`; upper case is folded.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.to_ascii_lowercase();
        if text.starts_with('[') {
            let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let is_address = inside.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            return if is_address { Ok(HostPattern::Exact(text)) } else { Err(PatternError::Host) };
        }
        if text.contains(':') {
            return Err(PatternError::Port);
        }
        let (wild, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.as_str()),
        };
        if name.contains('*') {
            return Err(PatternError::HostStar);
        }
        if !is_host_name(name) {
            return Err(PatternError::Host);
        }
        Ok(if wild { HostPattern::Below(format!(".{name}")) } else { HostPattern::Exact(text) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => name == host,
            HostPattern::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }

    fn covers(&self, other: &HostPattern) -> bool {
        match (self, other) {
            (_, HostPattern::Exact(name)) => self.matches(name),
            (HostPattern::Exact(_), HostPattern::Below(_)) => false,
            (HostPattern::Below(mine), HostPattern::Below(theirs)) => theirs.ends_with(mine.as_str()),
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Whether the text is a DNS name (or an IPv4 address): labels of letters, digits, `-` and `_`, at most 253 bytes.
/// The underscore is no host name by RFC 952, but container networks use it.
pub fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// One path, or all below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// The path as it is.
    Exact(String),
    /// `/admin/*`, kept as `/admin`: itself and everything below. Empty for `/*`, which matches all, `*` of an `OPTIONS` too.
    Prefix(String),
}

impl PathPattern {
    /// Reads `/exact` or `/below/*`. A `*` anywhere but as the whole last segment is an error.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::NoSlash);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\')) {
            return Err(PatternError::PathCharacter);
        }
        let (prefix, path) = match text.strip_suffix("/*") {
            Some(path) => (true, path),
            None => (false, text),
        };
        if path.contains('*') {
            return Err(PatternError::PathStar);
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(PatternError::Dots);
        }
        let path = decoded(path).into_owned();
        Ok(if prefix { PathPattern::Prefix(path) } else { PathPattern::Exact(path) })
    }

    /// Whether the path fits, case-sensitively.
    /// An escape and what it stands for are the same: most apps decode before they route.
    pub fn matches(&self, path: &str) -> bool {
        self.matches_decoded(&decoded(path))
    }

    /// Whether the path fits if the case of letters means nothing, as it does to many apps (IIS, ASP.NET, files on Windows and macOS).
    pub fn matches_in_any_case(&self, path: &str) -> bool {
        let path = decoded(path);
        let own = self.base_text();
        if path.is_ascii() && own.is_ascii() {
            let begins_so = path.get(..own.len()).is_some_and(|start| start.eq_ignore_ascii_case(own));
            let rest = path.get(own.len()..).unwrap_or_default();
            return begins_so && (rest.is_empty() || (matches!(self, PathPattern::Prefix(_)) && rest.starts_with('/')));
        }
        let (path, own) = (path.to_lowercase(), own.to_lowercase());
        match self {
            PathPattern::Exact(_) => own == path,
            PathPattern::Prefix(_) => is_at_or_below(&path, &own),
        }
    }

    /// The path itself, or the one that all others are below; begins with `/`.
    pub fn base(&self) -> &str {
        Some(self.base_text()).filter(|path| !path.is_empty()).unwrap_or("/")
    }

    fn base_text(&self) -> &str {
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = self;
        path
    }

    fn matches_decoded(&self, path: &str) -> bool {
        match self {
            PathPattern::Exact(exact) => exact == path,
            PathPattern::Prefix(base) => is_at_or_below(path, base),
        }
    }

    fn covers(&self, other: &PathPattern) -> bool {
        match (self, other) {
            (_, PathPattern::Exact(path)) => self.matches_decoded(path),
            (PathPattern::Exact(_), PathPattern::Prefix(_)) => false,
            (PathPattern::Prefix(mine), PathPattern::Prefix(theirs)) => is_at_or_below(theirs, mine),
        }
    }
}

impl Default for PathPattern {
    fn default() -> Self {
        PathPattern::Prefix(String::new())
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PathPattern::Exact(path) => f.write_str(path),
            PathPattern::Prefix(base) => write!(f, "{base}/*"),
        }
    }
}

/// Escapes undone. The path of a request holds none whose meaning would change by that (`%2F`, `%25`); see `inbound/target.rs`.
fn decoded(path: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(path).decode_utf8().unwrap_or(Cow::Borrowed(path))
}

/// Splits a path behind a prefix, at the end of a segment.
pub(super) fn split_prefix<'a>(path: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let prefix = decoded(prefix);
    let ends = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([path.len()]);
    ends.filter_map(|end| path.split_at_checked(end)).find(|(start, _)| decoded(start) == prefix)
}

fn is_at_or_below(path: &str, base: &str) -> bool {
    base.is_empty() || path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A host with a port.
    #[error("a host pattern has no port")]
    Port,
    /// A `*` that is not the whole first label.
    #[error("`*` may only be the whole first label of a host, as in `*.example.com`")]
    HostStar,
    /// Neither a host name nor an address.
    #[error("not a host name")]
    Host,
    /// A path that does not begin with `/`.
    #[error("a path begins with `/`")]
    NoSlash,
    /// White space, control characters, `?`, `#` or `\`.
    #[error("a path pattern has no white space, `?`, `#` or `\\`")]
    PathCharacter,
    /// A `*` that is not the whole last segment.
    #[error("`*` may only be the whole last segment of a path, as in `/admin/*`")]
    PathStar,
    /// A `.` or `..` segment, which no accepted request has.
    #[error("a path with `.` or `..` segments never matches")]
    Dots,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    fn pattern(host: &str, path_text: &str, methods: &[&str]) -> Pattern {
        Pattern {
            host: (!host.is_empty()).then(|| HostPattern::parse(host).unwrap()),
            path: path(path_text),
            methods: (!methods.is_empty()).then(|| methods.iter().map(|m| (*m).to_owned()).collect()),
        }
    }

    #[test]
    fn a_star_matches_the_path_itself_and_all_below_but_no_longer_word() {
        let admin = path("/admin/*");

        let seen = ["/admin", "/admin/", "/admin/a/b", "/administrator", "/", "/Admin"].map(|p| admin.matches(p));

        assert_eq!(seen, [true, true, true, false, false, false]);
    }

    #[test]
    fn a_slash_and_star_match_everything_even_the_asterisk_of_options() {
        assert_eq!(["/", "/a", "*"].map(|p| path("/*").matches(p)), [true, true, true]);
    }

    #[test]
    fn an_escape_and_what_it_stands_for_are_the_same() {
        let seen = [("/admin/*", "/%61dmin/x"), ("/a,b", "/a%2Cb"), ("/你/*", "/%E4%BD%A0"), ("/a%20b", "/a%20b"), ("/%7Ex", "/~x")];

        assert_eq!(seen.map(|(pattern, asked)| path(pattern).matches(asked)), [true; 5]);
        assert!(path("/%61").covers(&path("/a")));
    }

    #[test]
    fn a_path_without_star_is_exact() {
        assert_eq!(["/a", "/a/", "/a/b"].map(|p| path("/a").matches(p)), [true, false, false]);
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        let errors = ["/a*", "/*/b", "a/*", "/a b", "/a/../*"].map(|text| PathPattern::parse(text).unwrap_err());

        assert_eq!(
            errors,
            [PatternError::PathStar, PatternError::PathStar, PatternError::NoSlash, PatternError::PathCharacter, PatternError::Dots]
        );
    }

    #[test]
    fn a_wild_host_is_one_label_or_more_in_any_case() {
        let wild = pattern("*.Example.com", "/*", &[]);

        let seen = ["a.example.com", "a.b.example.com", "example.com", "badexample.com", ".example.com"].map(|h| wild.matches_host(h));

        assert_eq!(seen, [true, true, false, false, false]);
    }

    #[test]
    fn hosts_with_ports_stars_inside_or_no_name_are_refused() {
        let errors = ["a.example.com:80", "a.*.com", "*", "a b", "", "*.", "[::1]:80"].map(|text| HostPattern::parse(text).is_err());

        assert_eq!(errors, [true; 7]);
        assert_eq!(HostPattern::parse("[::1]"), Ok(HostPattern::Exact("[::1]".to_owned())));
    }

    #[test]
    fn covering_needs_host_path_and_methods() {
        let all = pattern("", "/*", &[]);
        let below = pattern("*.example.com", "/admin/*", &["GET", "POST"]);

        assert!(all.covers(&below) && !below.covers(&all));
        assert!(below.covers(&pattern("a.b.example.com", "/admin", &["GET"])));
        assert!(below.covers(&pattern("*.b.example.com", "/admin/x/*", &["GET"])));
        assert!(!below.covers(&pattern("a.example.com", "/admin/x", &[])));
        assert!(!below.covers(&pattern("a.example.com", "/administrator", &["GET"])));
        assert!(!below.covers(&pattern("example.com", "/admin", &["GET"])));
        assert!(!pattern("", "/a", &[]).covers(&pattern("", "/a/*", &[])));
    }
}

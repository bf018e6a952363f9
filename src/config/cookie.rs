//! `[session.cookie]`: the cookie's name and attributes, which browsers accept only in certain combinations.

use super::notes::{At, Notes};
use super::reader::Section;
use super::report::{Problem, shown};
use super::server::Server;
use super::units;
use crate::route::is_host_name;
use crate::session::cookie::LONGEST;
pub use crate::session::cookie::{Priority, SameSite};
use std::time::Duration;

/// `[session.cookie]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cookie {
    /// The name; `None`: chosen by [`Cookie::name_for`].
    pub name: Option<String>,
    /// How long the browser keeps it; `None`: until it closes.
    pub max_age: Option<Duration>,
    /// `SameSite`.
    pub same_site: SameSiteUse,
    /// `Secure`.
    pub secure: Secure,
    /// `Domain`, without leading dot; `None`: this host only.
    pub domain: Option<String>,
    /// `Path`.
    pub path: String,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `Partitioned`.
    pub partitioned: bool,
    /// `Priority`; `None`: not sent.
    pub priority: Option<Priority>,
}

impl Cookie {
    /// The configured name, or the strictest prefix that the attributes allow: `__Host-cloakroom`, `__Secure-cloakroom` (with a domain or a path),
    /// or plain `cloakroom` where the site is not served over TLS.
    pub fn name_for(&self, https: bool) -> &str {
        match &self.name {
            Some(name) => name,
            None if !self.secure.on(https) => "cloakroom",
            None if self.domain.is_none() && self.path == "/" => "__Host-cloakroom",
            None => "__Secure-cloakroom",
        }
    }
}

/// `SameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSiteUse {
    /// This.
    Always(SameSite),
    /// `None` on secure requests, else `Lax`.
    Auto,
    /// Not sent.
    Off,
}

/// `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// Always; an insecure request gets no cookie.
    Yes,
    /// Never.
    No,
    /// As the request is.
    Auto,
}

impl Secure {
    /// Whether the attribute is set on a request that is, or is not, secure.
    pub fn on(self, https: bool) -> bool {
        match self {
            Secure::Yes => true,
            Secure::No => false,
            Secure::Auto => https,
        }
    }
}

/// What is known about how visitors reach the site.
pub(super) struct Site {
    https: bool,
    behind_trusted: bool,
    /// Lower case, if `public_url` names one.
    host: Option<String>,
}

impl Site {
    pub(super) fn of(server: &Server) -> Self {
        let https = server.public_url.as_ref().is_some_and(|url| url.https);
        let host = server.public_url.as_ref().map(|url| url.host.clone());
        Site { https, behind_trusted: !server.trusted_proxies.is_empty(), host }
    }

    /// Whether some request may be secure.
    fn may_be_secure(&self) -> bool {
        self.https || self.behind_trusted
    }

    /// Whether a cookie for this domain reaches the site (RFC 6265, 5.1.3).
    fn is_below(&self, domain: &str) -> bool {
        let Some(host) = &self.host else { return true };
        host == domain || host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
    }
}

/// Reads `[session.cookie]`. The second value tells whether `max_age` is configured; if not, it is for the caller to decide.
pub(super) fn read(mut section: Section<'_, '_>, site: &Site) -> (Cookie, bool) {
    let notes = section.notes;
    let name = section.text("name").filter(|name| name.value != "auto").and_then(|name| token(notes, name));
    let max_age = max_age(&mut section);
    let same_site = section.choice("same_site", &SAME_SITES);
    let secure = section.choice("secure", &[("true", Secure::Yes), ("false", Secure::No), ("auto", Secure::Auto)]);
    let domain = section.text("domain").and_then(|domain| host(notes, domain));
    let path = section.text("path").and_then(|path| cookie_path(notes, path));
    let partitioned = section.flag("partitioned").filter(|flag| flag.value);
    let cookie = Cookie {
        name: name.as_ref().map(|name| name.value.clone()),
        max_age: max_age.flatten(),
        same_site: same_site.as_ref().map_or(SameSiteUse::Always(SameSite::Lax), |v| v.value),
        secure: secure.as_ref().map_or(Secure::Auto, |v| v.value),
        domain: domain.as_ref().map(|domain| domain.value.clone()),
        path: path.as_ref().map_or_else(|| "/".to_owned(), |path| path.value.clone()),
        http_only: section.flag("http_only").is_none_or(|flag| flag.value),
        partitioned: partitioned.is_some(),
        priority: section
            .choice("priority", &[("low", Priority::Low), ("medium", Priority::Medium), ("high", Priority::High)])
            .map(|v| v.value),
    };
    if let Some(name) = &name {
        check_prefix(notes, name, &cookie, site);
    }
    if let Some(at) = same_site.filter(|v| v.value == SameSiteUse::Always(SameSite::None)) {
        needs_secure(notes, "`same_site = \"none\"`", &at.span, &cookie, site);
    }
    if let Some(at) = partitioned {
        needs_secure(notes, "`partitioned`", &at.span, &cookie, site);
    }
    if let Some(at) = secure.filter(|v| v.value == Secure::Yes && !site.may_be_secure()) {
        let problem =
            Problem::warning("`secure = true`, but nothing says that the site is served over TLS").at(&at.span, "no visitor gets a cookie");
        notes.add(problem.help(SERVE_OVER_TLS));
    }
    if let Some(at) = domain.filter(|domain| !site.is_below(&domain.value)) {
        let problem = Problem::error(format!("`domain` cannot be `{}` for this site", shown(&at.value)));
        let help = format!("name the host of `server.public_url` or a domain above it: `{}`", site.host.as_deref().unwrap_or_default());
        notes.add(problem.at(&at.span, "browsers drop this cookie").help(help));
    }
    if let Some(at) = path.filter(|path| path.value != "/") {
        let problem = Problem::warning("browsers do not send this cookie to pages under `/.cloakroom/`").at(&at.span, "not the whole site");
        notes.add(problem.help("a logout there cannot end the session: let the app answer `X-Session-End: this`, or use path = \"/\""));
    }
    section.finish();
    (cookie, max_age.is_some())
}

const SERVE_OVER_TLS: &str = "set `server.public_url` to the https URL of the site, or name your TLS proxy in `server.trusted_proxies`";

/// `SameSite=None` and `Partitioned` without `Secure` make browsers drop a cookie (RFC 6265bis, 5.7; CHIPS).
fn needs_secure(notes: &Notes<'_>, what: &str, span: &std::ops::Range<usize>, cookie: &Cookie, site: &Site) {
    let title = format!("{what} needs a secure cookie");
    match cookie.secure {
        Secure::No => notes.add(Problem::error(title).at(span, "browsers drop this cookie").help("remove secure = false")),
        Secure::Auto if !site.may_be_secure() => {
            notes.add(Problem::warning(title).at(span, "browsers drop this cookie over plain HTTP").help(SERVE_OVER_TLS));
        }
        Secure::Auto | Secure::Yes => {}
    }
}

const SAME_SITES: [(&str, SameSiteUse); 5] = [
    ("strict", SameSiteUse::Always(SameSite::Strict)),
    ("lax", SameSiteUse::Always(SameSite::Lax)),
    ("none", SameSiteUse::Always(SameSite::None)),
    ("auto", SameSiteUse::Auto),
    ("off", SameSiteUse::Off),
];

/// `None`: not configured; `Some(None)`: until the browser closes.
fn max_age(section: &mut Section<'_, '_>) -> Option<Option<Duration>> {
    let entry = section.take("max_age")?;
    if entry.as_text() == Some("session") {
        return Some(None);
    }
    if entry.as_text().is_some_and(|text| units::duration(text).is_none() && units::likely_duration(text).is_none()) {
        entry.notes.add(entry.wrong("not a duration").help("write a number and a unit, as in \"14d\", or \"session\""));
        return None;
    }
    entry.duration_in(Duration::from_secs(1)..=LONGEST).map(Some)
}

/// RFC 6265bis, 4.1.3; browsers compare the prefix without case (5.7).
fn check_prefix(notes: &Notes<'_>, name: &At<String>, cookie: &Cookie, site: &Site) {
    let lower = name.value.to_ascii_lowercase();
    let host = lower.starts_with("__host-");
    if !host && !lower.starts_with("__secure-") {
        return;
    }
    let mut missing = Vec::new();
    if !cookie.secure.on(site.https) {
        missing.push("a secure cookie (an https `public_url`, or secure = true)");
    }
    if host && cookie.path != "/" {
        missing.push("path = \"/\"");
    }
    if host && cookie.domain.is_some() {
        missing.push("no `domain`");
    }
    let Some(help) = (!missing.is_empty()).then(|| format!("it needs {}", missing.join(" and "))) else { return };
    let prefix = if host { "__Host-" } else { "__Secure-" };
    // `auto` may still become secure, where a trusted proxy says so.
    let may_come = cookie.secure == Secure::Auto && missing.len() == 1 && !cookie.secure.on(site.https);
    let title = format!("a cookie named `{}` is refused by browsers here", shown(&name.value));
    let problem = if may_come { Problem::warning(title) } else { Problem::error(title) };
    notes.add(problem.at(&name.span, format!("`{prefix}` has conditions")).help(help));
}

fn token(notes: &Notes<'_>, name: At<String>) -> Option<At<String>> {
    if is_token(&name.value) {
        return Some(name);
    }
    let problem = Problem::error(format!("a cookie cannot be named `{}`", shown(&name.value))).at(&name.span, "not a cookie name");
    notes.add(problem.help("use letters, digits, `-`, `_` and `.`"));
    None
}

/// A token of RFC 9110, 5.6.2: what cookie and header names are made of.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn host(notes: &Notes<'_>, domain: At<String>) -> Option<At<String>> {
    // Browsers ignore a leading dot (RFC 6265, 5.2.3), and people still write it.
    let name = domain.value.strip_prefix('.').unwrap_or(&domain.value).to_ascii_lowercase();
    if is_host_name(&name) {
        return Some(At { value: name, span: domain.span });
    }
    let problem = Problem::error(format!("`domain` cannot be `{}`", shown(&domain.value))).at(&domain.span, "not a host name");
    notes.add(problem.help("write a name without scheme, port or path, as in \"example.com\""));
    None
}

fn cookie_path(notes: &Notes<'_>, path: At<String>) -> Option<At<String>> {
    if path.value.starts_with('/') && !path.value.contains(';') && path.value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Some(path);
    }
    let problem = Problem::error(format!("`path` cannot be `{}`", shown(&path.value))).at(&path.span, "not a cookie path");
    notes.add(problem.help("it begins with `/` and is printable ASCII without `;`"));
    None
}

//! Which app a request goes to, and what is allowed on the way. The first route that matches wins.

mod pattern;
mod require;
mod template;

pub use pattern::{HostPattern, PathPattern, Pattern, PatternError, is_host_name};
pub use require::{Require, Wanted};
pub use template::{Place, Template, TemplateError};

use http::HeaderName;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One `[[routes]]` table of `proxy.toml`, complete and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// For logs: `GET|POST app.example.com/admin/*`, or `/*`.
    pub name: String,
    /// What it matches.
    pub pattern: Pattern,
    /// Whether requests carry a session.
    pub session: SessionUse,
    /// What a visitor without a user is told where a session is required.
    pub unauthenticated: Unauthenticated,
    /// What it asks of the user; `None`: any user will do. Only where a session is required.
    pub require: Option<Require>,
    /// The name of an upstream, its URL, or `demo`.
    pub upstream: String,
    /// Which session fields the app may change.
    pub write: Write,
    /// Whether the app may sign visitors in (`X-Session-Login`).
    pub login: bool,
    /// Whether requests here keep the session alive.
    pub touch: bool,
    /// Other sites that may open WebSockets here: scheme, host and port in lower case, as browsers write `Origin`.
    pub origins: Vec<String>,
    /// Cookies of the app that end with the session.
    pub end_app_cookies: Vec<String>,
    /// Removed from the front of the path; begins with `/` and does not end with it.
    pub strip_prefix: Option<String>,
    /// Whether the app sees the visitor's `Host`.
    pub preserve_host: bool,
    /// How long the upstream may take.
    pub timeout: Timeouts,
    /// The longest request body in bytes; `None` is no limit.
    pub max_body: Option<u64>,
    /// What happens to visitors with a cookie while the store is down.
    pub when_down: WhenDown,
    /// What the app is told about the session.
    pub headers: HeaderSettings,
}

impl Route {
    /// Cuts `strip_prefix` off a canonical path: the part that goes, as the visitor spelled it, and the path that the app gets. `None`: the
    /// path stays as it is. Compared as routes are: an escape and what it stands for are the same, and a segment is cut whole or not at all.
    pub fn stripped<'a>(&self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let (gone, rest) = pattern::split_prefix(path, self.strip_prefix.as_deref()?)?;
        Some((gone, if rest.is_empty() { "/" } else { rest }))
    }

    /// Whether the path is this route's. A route that keeps visitors out takes it in any case of letters: to an app that does not tell
    /// `/ADMIN` from `/admin`, they are one page, and a wider route further down must not open it.
    pub fn matches_path(&self, path: &str) -> bool {
        self.pattern.path.matches(path) || (self.session == SessionUse::Required && self.pattern.path.matches_in_any_case(path))
    }
}

/// Whether a route's requests carry a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionUse {
    /// No session is read, sent or changed.
    Off,
    /// A session if there is one.
    #[default]
    Optional,
    /// A session with a user; others are turned away.
    Required,
}

/// The answer to a visitor who must sign in on a required route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unauthenticated {
    /// Pages are sent to the login page, scripts get 401; without a login page of ours everybody gets 401.
    #[default]
    Auto,
    /// Every GET and HEAD is sent to the login page, but for WebSockets.
    Redirect,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
}

/// The session fields that an app may change with `X-Session-Set`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Write {
    /// None.
    #[default]
    None,
    /// These.
    Fields(BTreeSet<String>),
    /// All but those that must be named (the `user_from` field).
    All,
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To accept a connection, TLS included.
    pub connect: Duration,
    /// Between two reads of its answer.
    pub read: Duration,
    /// A WebSocket without a message in either direction.
    pub idle_websocket: Duration,
}

/// The policy for requests with a rightly signed cookie while the store is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenDown {
    /// 503.
    #[default]
    Unavailable,
    /// As if there were no session, except on required routes.
    Anonymous,
}

/// How a session is told to the app.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderSettings {
    /// Which fields have a header of their own.
    pub fields: Fields,
    /// How text is written.
    pub encoding: Encoding,
    /// The most bytes that all injected headers take together.
    pub max_bytes: usize,
    /// What happens beyond that.
    pub overflow: Overflow,
    /// Further headers: the name of one, as it is written, and what it says.
    pub set: Vec<(HeaderName, Template)>,
}

/// The fields that have a header of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// All whose name fits.
    All,
    /// None; `X-Session-Data` is sent all the same.
    None,
    /// These.
    Only(BTreeSet<String>),
}

/// How the text of a field is written into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 with `%XX` for what is not printable ASCII.
    Percent,
    /// Unpadded URL-safe base64 of UTF-8.
    Base64Url,
    /// ISO 8859-1.
    Latin1,
    /// UTF-8 bytes as they are.
    Raw,
}

/// What happens to headers beyond `max_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The largest are left out and named in `X-Session-Overflow`.
    Drop,
    /// The visitor gets 502.
    Error,
}

/// All routes in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Arc<Route>>);

/// Why no route matched. Each is an answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No route is for this host: 421.
    Host,
    /// None of the host's routes is for this path: 404.
    Path,
    /// Routes match but for the method: 405 with these, sorted, in `Allow`.
    Method(BTreeSet<String>),
}

impl Routes {
    /// Keeps the order.
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        Routes(routes)
    }

    /// The routes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }

    /// The first route that matches. `host` is lower case without port, `path` has no query. Allocates only on a 405.
    pub fn find(&self, host: &str, path: &str, method: &str) -> Result<&Arc<Route>, NoRoute> {
        let mut host_known = false;
        for route in self.0.iter().filter(|route| route.pattern.matches_host(host)) {
            host_known = true;
            if route.matches_path(path) && route.pattern.matches_method(method) {
                return Ok(route);
            }
        }
        let allowed = self.allowed_methods(host, path);
        match (host_known, allowed.is_empty()) {
            (false, _) => Err(NoRoute::Host),
            (true, true) => Err(NoRoute::Path),
            (true, false) => Err(NoRoute::Method(allowed)),
        }
    }

    fn allowed_methods(&self, host: &str, path: &str) -> BTreeSet<String> {
        let fitting = self.0.iter().filter(|route| route.pattern.matches_host(host) && route.matches_path(path));
        fitting.filter_map(|route| route.pattern.methods.as_ref()).flatten().cloned().collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;

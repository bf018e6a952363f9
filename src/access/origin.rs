//! Where a request comes from: a page of this site, another site, or nobody says.

use crate::inbound::Inbound;
use crate::route::Route;
use http::HeaderMap;
use http::header::{ORIGIN, REFERER};

/// Whether a WebSocket that carries our cookie was opened by a page of this site, or of one that the route names.
/// Browsers send cookies with cross-site WebSockets and no preflight, so this is the only guard (RFC 6455 section 10.2).
pub fn may_open_websocket(route: &Route, inbound: &Inbound, headers: &HeaderMap) -> bool {
    only(headers, ORIGIN.as_str()).is_some_and(|origin| {
        let origin = origin.to_ascii_lowercase();
        origin == inbound.origin() || route.origins.contains(&origin)
    })
}

/// Where a POST to one of our own forms comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostedFrom {
    /// A page of this site, or the visitor's own hand.
    Here,
    /// Another site, or an answer that cannot be trusted.
    Elsewhere,
    /// The client says nothing at all: the form's token decides.
    Unsaid,
}

/// Fetch Metadata first, then `Origin`, then `Referer` (OWASP CSRF cheat sheet). One voice that says "elsewhere" is enough.
pub fn posted_from(inbound: &Inbound, headers: &HeaderMap) -> PostedFrom {
    let own = inbound.origin();
    let here = if headers.contains_key("sec-fetch-site") {
        only(headers, "sec-fetch-site").is_some_and(|site| matches!(site, "same-origin" | "none"))
    } else if headers.contains_key(ORIGIN) {
        only(headers, ORIGIN.as_str()).is_some_and(|origin| origin.eq_ignore_ascii_case(&own))
    } else if headers.contains_key(REFERER) {
        let referer = only(headers, REFERER.as_str()).map(str::to_ascii_lowercase);
        let rest = referer.as_deref().and_then(|referer| referer.strip_prefix(&own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    } else {
        return PostedFrom::Unsaid;
    };
    if here { PostedFrom::Here } else { PostedFrom::Elsewhere }
}

/// A field that stands there once. Two answers are none.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

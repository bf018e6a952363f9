//! Where a request comes from: a page of this site, another site, or nobody says.

use crate::inbound::Inbound;
use crate::route::Route;
use http::HeaderMap;
use http::header::{ORIGIN, REFERER};

/// Whether a WebSocket that carries our cookie was opened by a page of this site, or of one that the route names.
/// Browsers send cookies with cross-site WebSockets and no preflight, so this is the only guard (RFC 6455 section 10.2).
pub fn may_open_websocket(route: &Route, inbound: &Inbound, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    origin.to_str().is_ok_and(|origin| {
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
    if let Some(site) = headers.get("sec-fetch-site") {
        let here = matches!(site.as_bytes(), b"same-origin" | b"none");
        return if here && headers.get_all("sec-fetch-site").iter().count() == 1 { PostedFrom::Here } else { PostedFrom::Elsewhere };
    }
    let own = inbound.origin();
    if let Some(origin) = headers.get(ORIGIN) {
        let here = headers.get_all(ORIGIN).iter().count() == 1 && origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(&own));
        return if here { PostedFrom::Here } else { PostedFrom::Elsewhere };
    }
    if let Some(referer) = headers.get(REFERER) {
        let rest = referer.to_str().ok().map(str::to_ascii_lowercase).and_then(|referer| referer.strip_prefix(&own).map(str::to_owned));
        return if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) { PostedFrom::Here } else { PostedFrom::Elsewhere };
    }
    PostedFrom::Unsaid
}

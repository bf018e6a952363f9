//! May this visitor pass? Who asks from where, for routes, WebSockets and our own forms.

use crate::inbound::Inbound;
use crate::route::{Route, SessionUse, WhenDown};
use crate::session::Visitor;
use http::HeaderMap;
use http::header::{ORIGIN, REFERER};

/// What the visitor's session says about passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// The route wants a user, and there is none.
    NeedsUser,
    /// The session cannot be read, and the route does without only for strangers.
    Unavailable,
}

/// Whether the route lets this visitor through. The store being down lets nobody in and logs nobody out.
pub fn passage(route: &Route, visitor: &Visitor) -> Passage {
    let required = route.session == SessionUse::Required;
    match visitor {
        Visitor::Unreachable { .. } if required || route.when_down == WhenDown::Unavailable => Passage::Unavailable,
        Visitor::Known(session) if session.user().is_some() => Passage::Open,
        _ if required => Passage::NeedsUser,
        _ => Passage::Open,
    }
}

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

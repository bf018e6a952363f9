//! What becomes of a visitor who may not pass: sent to the login page and back, or told so with a way in.

use super::Passage;
use crate::endpoint::ReturnTo;
use crate::inbound::{Asker, Inbound};
use crate::rejection::{Rejection, WayIn};
use crate::route::{Route, SessionUse, Unauthenticated};
use crate::session::Visitor;
use crate::session::lifecycle::Lapse;
use http::header::REFERER;
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What keeps its meaning inside a query's value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The longest value of `return_to`: with it the login's address still fits into the default of `uri_bytes`.
const LONGEST_VALUE: usize = 15 * 1024;

/// What browsers leave as it is in an address, and a [`ReturnTo`] does not hold.
const UNSAFE: &AsciiSet =
    &percent_encoding::CONTROLS.add(b'"').add(b'<').add(b'>').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}').add(b'\\');

/// The paths where visitors sign in and out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    /// `None`: there is no login page of ours.
    pub login: Option<String>,
    pub logout: String,
}

impl Default for Doors {
    fn default() -> Self {
        Doors { login: None, logout: "/.cloakroom/logout".to_owned() }
    }
}

impl Doors {
    /// The login page that leads back there; `fresh`: it is shown to somebody who is signed in, too.
    pub fn login_url(&self, back: Option<&ReturnTo>, fresh: bool) -> Option<String> {
        let login = self.login.as_ref()?;
        let mut pairs = Vec::new();
        pairs.extend(back.map(|back| format!("return_to={}", utf8_percent_encode(back.as_str(), PLAIN))));
        pairs.extend(fresh.then(|| "fresh=1".to_owned()));
        Some(if pairs.is_empty() { login.clone() } else { format!("{login}?{}", pairs.join("&")) })
    }

    /// The logout page that leads back there.
    fn logout_url(&self, back: Option<&ReturnTo>) -> String {
        let query = back.map(|back| format!("?return_to={}", utf8_percent_encode(back.as_str(), PLAIN)));
        format!("{}{}", self.logout, query.unwrap_or_default())
    }

    /// Whether the page is the login or the logout itself.
    pub fn is_one(&self, page: &ReturnTo) -> bool {
        page.path() == self.logout || self.login.as_deref() == Some(page.path())
    }

    /// The page that this request is about: for a page its own address, for anything that it sends or loads the page it comes from.
    fn page(&self, inbound: &Inbound, headers: &HeaderMap) -> Option<ReturnTo> {
        let page = if inbound.asker(headers) == Asker::Person && reads(inbound) { wanted(inbound) } else { came_from(inbound, headers) };
        page.filter(|page| !self.is_one(page))
    }
}

/// The answer to a visitor whom [`super::passage`] does not let through.
pub fn turned_away(passage: Passage, route: &Route, visitor: &Visitor, inbound: &Inbound, headers: &HeaderMap, doors: &Doors) -> Rejection {
    if passage == Passage::Unavailable {
        return Rejection::StoreUnavailable;
    }
    let back = doors.page(inbound, headers);
    if passage == Passage::NotAllowed {
        let user = if let Visitor::Known(session) = visitor { session.user().unwrap_or_default() } else { "" };
        return Rejection::NotAllowed { user: user.to_owned(), logout: doors.logout_url(back.as_ref()) };
    }
    let too_old = passage == Passage::LoginTooOld;
    if route.unauthenticated == Unauthenticated::Forbidden && !too_old {
        return Rejection::Forbidden;
    }
    let redirects = match route.unauthenticated {
        Unauthenticated::Auto => inbound.asker(headers) == Asker::Person,
        Unauthenticated::Redirect => !inbound.upgrade,
        Unauthenticated::Unauthorized | Unauthenticated::Forbidden => false,
    };
    if redirects && reads(inbound) {
        let back = wanted(inbound).filter(|page| !doors.is_one(page));
        if let Some(to) = doors.login_url(back.as_ref(), too_old) {
            return Rejection::SentToLogin { to, too_old };
        }
    }
    let way = WayIn { login: doors.login_url(back.as_ref(), too_old), lost: !reads(inbound) };
    if too_old {
        return Rejection::LoginTooOld { way };
    }
    let lapse = if let Visitor::Lapsed(lapse) = visitor { Some(lapse.as_str()) } else { None };
    Rejection::NotSignedIn { lapse, way }
}

/// The answer to a visitor whose session ended while the app was at work: on their way to a page, what they get who come with an ended
/// session; where strangers may pass, nobody is sent away from it. What they sent was passed on, so no form is called lost.
///
/// A script was waiting for news, and a redirect would bring it a login page as if that were the news: 401, even where `unauthenticated`
/// leads scripts to the login too.
pub fn turned_out(route: &Route, inbound: &Inbound, headers: &HeaderMap, doors: &Doors) -> Rejection {
    if route.session == SessionUse::Required && inbound.asker(headers) == Asker::Person && reads(inbound) {
        return turned_away(Passage::NeedsUser, route, &Visitor::Lapsed(Lapse::Ended), inbound, headers, doors);
    }
    let login = doors.login_url(doors.page(inbound, headers).as_ref(), false);
    Rejection::NotSignedIn { lapse: Some(Lapse::Ended.as_str()), way: WayIn { login, lost: false } }
}

/// Only these are redirected: any other method would come back as a GET of its action, and what was sent would be lost unsaid.
fn reads(inbound: &Inbound) -> bool {
    matches!(inbound.method, Method::GET | Method::HEAD)
}

/// This request's own address.
fn wanted(inbound: &Inbound) -> Option<ReturnTo> {
    local(inbound.target.path(), inbound.target.query())
}

/// The page of this site that holds the form or the script, as far as the browser says.
fn came_from(inbound: &Inbound, headers: &HeaderMap) -> Option<ReturnTo> {
    let mut referers = headers.get_all(REFERER).iter();
    let (Some(referer), None) = (referers.next(), referers.next()) else { return None };
    let (referer, own) = (referer.to_str().ok()?, inbound.origin());
    let rest = referer.get(own.len()..).filter(|_| referer.get(..own.len()).is_some_and(|origin| origin.eq_ignore_ascii_case(&own)))?;
    match rest.split_once('?') {
        Some((path, query)) => local(path, Some(query)),
        None => local(rest, None),
    }
}

/// If the query cannot be led back to, because it is too long, the path can.
fn local(path: &str, query: Option<&str>) -> Option<ReturnTo> {
    let path = utf8_percent_encode(path, UNSAFE).to_string();
    let whole = query.map(|query| format!("{path}?{}", whole_escapes(&utf8_percent_encode(query, UNSAFE).to_string())));
    let whole = whole.filter(|whole| utf8_percent_encode(whole, PLAIN).map(str::len).sum::<usize>() <= LONGEST_VALUE);
    whole.as_deref().and_then(ReturnTo::parse).or_else(|| ReturnTo::parse(&path))
}

/// With every `%` that begins no escape written as one, as in `100%`.
fn whole_escapes(query: &str) -> String {
    let mut parts = query.split('%');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_escape = part.get(..2).is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        whole.push_str(if is_escape { "%" } else { "%25" });
        whole.push_str(part);
    }
    whole
}

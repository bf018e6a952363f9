//! The product without a server: what to do with a request ([`Edge::receive`]) and with the app's answer ([`Edge::depart`]).

mod departure;
mod own_pages;

pub use departure::{Departure, Refused};

use crate::access::{self, Doors, Passage};
use crate::endpoint::{Desk, Endpoint, own_cookie};
use crate::header::names::Reserved;
use crate::header::request::{Dressed, TooLarge};
use crate::header::wardrobe::Wardrobe;
use crate::inbound::{Inbound, Malformed, Site, address_text};
use crate::pages::Look;
use crate::rejection::Rejection;
use crate::route::{NoRoute, Route, Routes, SessionUse};
use crate::session::id::SessionKey;
use crate::session::lifecycle::Lapse;
use crate::session::record::Client;
use crate::session::{Session, Sessions, Visitor, cookie};
use crate::telemetry::chain;
use http::header::{COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything that is decided about requests, prepared at start.
pub struct Edge {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) site: Site,
    pub(crate) reserved: Reserved,
    /// Cookie names that are ours: never to the app, never from it.
    pub(crate) our_cookies: Vec<String>,
    /// How our own pages look.
    look: Look,
    /// Where visitors sign in; `None` without `[login]`.
    desk: Option<Desk>,
    policy: Policy,
    wardrobe: Wardrobe,
}

/// What the configuration says about who gets where.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub routes: Routes,
    /// Fields that `write = "all"` does not include; those that routes require are added.
    pub protected: BTreeSet<String>,
    /// Fields that `/.cloakroom/session` may show.
    pub exposed: Vec<String>,
    /// Where visitors sign in and out.
    pub doors: Doors,
}

/// One request on its way through, as later steps need it.
pub struct Visit {
    pub inbound: Arc<Inbound>,
    pub route: Arc<Route>,
    pub visitor: Visitor,
    /// What the app gets about the session.
    pub dressed: Dressed,
    /// Why there is no session where there was one.
    pub lapse: Option<&'static str>,
    /// Under what the store files the sessions of a visitor whom it cannot tell: they may have to end without an answer.
    pub keys: Vec<SessionKey>,
    /// Whether the answer may change the session (not on `session = "off"`, not for a CORS preflight).
    has_session: bool,
    agent: Option<HeaderValue>,
}

/// What to do with a request.
pub enum Verdict {
    /// Send it to its route's app.
    Forward(Box<Visit>),
    /// One of our own pages, which may need the form's body.
    Own(Endpoint),
    /// Refuse it.
    Refuse(Box<Refusal>),
}

/// Why a request goes no further.
#[derive(Debug)]
pub struct Refusal {
    pub rejection: Rejection,
    pub facts: Facts,
}

/// What is known of a request besides, for its line in the log.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub route: Option<Arc<Route>>,
    /// The session's public name.
    pub handle: Option<String>,
    /// Why there is no session where there was one.
    pub lapse: Option<&'static str>,
    /// What went wrong behind us, with its causes.
    pub cause: Option<String>,
}

impl Edge {
    /// Compiles routes and templates.
    pub fn new(sessions: Arc<Sessions>, site: Site, mut policy: Policy) -> Self {
        let set_names = policy.routes.iter().flat_map(|route| route.headers.set.iter().map(|(name, _)| name.as_str().to_owned()));
        let reserved = Reserved::new(set_names);
        let required = policy.routes.iter().filter_map(|route| route.require.as_ref());
        policy.protected.extend(required.flat_map(|require| require.fields().map(str::to_owned)));
        let mut our_cookies: Vec<String> = ["cloakroom", "__Host-cloakroom", "__Secure-cloakroom"].map(str::to_owned).into();
        if !our_cookies.iter().any(|name| name == sessions.cookie_name()) {
            our_cookies.push(sessions.cookie_name().to_owned());
        }
        our_cookies.extend(own_cookie::NAMES.map(str::to_owned));
        let look = Look::plain().clone();
        Edge { sessions, site, reserved, our_cookies, look, desk: None, policy, wardrobe: Wardrobe::default() }
    }

    /// Reads a request's head into types.
    pub fn understand(&self, head: &http::request::Parts, raw_target: &[u8], peer: std::net::IpAddr) -> Result<Inbound, Malformed> {
        Inbound::understand(head, raw_target, peer, &self.site)
    }

    /// Own page? Which route? Whose session? May it pass? With what does it go?
    pub async fn receive(&self, inbound: Arc<Inbound>, headers: &HeaderMap) -> Verdict {
        if let Some(endpoint) = Endpoint::at(inbound.target.path(), &self.policy.doors) {
            return Verdict::Own(endpoint);
        }
        let route = match self.policy.routes.find(inbound.host.name(), inbound.target.path(), inbound.method.as_str()) {
            Ok(route) => route.clone(),
            Err(none) => return refuse(no_route(none), Facts::default()),
        };
        if route.session == SessionUse::Off || inbound.preflight {
            return self.forward(inbound, route, Visitor::Stranger, false, headers);
        }
        let values = self.cookie_values(&inbound, headers);
        if inbound.upgrade && !values.is_empty() && !access::may_open_websocket(&route, &inbound, headers) {
            return refuse(Rejection::CrossSite, Facts { route: Some(route), ..Facts::default() });
        }
        let visitor = if values.is_empty() { Visitor::Stranger } else { Box::pin(self.visitor(&values)).await };
        match access::passage(&route, &visitor, self.sessions.now()) {
            Passage::Open => self.forward(inbound, route, visitor, true, headers),
            closed => {
                let rejection = access::turned_away(closed, &route, &visitor, &inbound, headers, &self.policy.doors);
                refuse(rejection, Facts::of(route, &visitor))
            }
        }
    }

    /// Whose session these cookies name. Whoever has signed in on our page must still be known there as they were then: others are out at
    /// once, and so is the session.
    async fn visitor(&self, cookies: &[String]) -> Visitor {
        let visitor = self.sessions.resume(cookies).await;
        let (Visitor::Known(session), Some(desk)) = (&visitor, &self.desk) else { return visitor };
        if session.credential().is_none_or(|(user, credential)| desk.gatekeeper.vouches_for(user, credential)) {
            return visitor;
        }
        let (user, handle) = (session.user(), session.handle().as_str());
        tracing::info!(user, handle, "a session ends, because its user was removed, disabled or changed since it began");
        self.sessions.revoke(session).await;
        Visitor::Lapsed(Lapse::Revoked)
    }

    fn forward(&self, inbound: Arc<Inbound>, route: Arc<Route>, visitor: Visitor, has_session: bool, headers: &HeaderMap) -> Verdict {
        let dressed = match &visitor {
            Visitor::Known(session) => match self.dress(&route, session) {
                Ok(dressed) => dressed,
                Err(too_large) => {
                    let facts = Facts { cause: Some(too_large.to_string()), ..Facts::of(route, &visitor) };
                    return refuse(Rejection::HeadersTooLarge, facts);
                }
            },
            _ => Dressed::default(),
        };
        let keys = if let Visitor::Unreachable { keys, .. } = &visitor { keys.clone() } else { Vec::new() };
        let (agent, lapse) = (headers.get(USER_AGENT).cloned(), lapse(&visitor));
        Verdict::Forward(Box::new(Visit { inbound, route, visitor, dressed, lapse, keys, has_session, agent }))
    }

    fn dress(&self, route: &Arc<Route>, session: &Session) -> Result<Dressed, TooLarge> {
        let outfit = self.wardrobe.outfit(session.record(), route, session.handle().as_str(), session.user())?;
        let now = self.sessions.now();
        let expires_in = self.sessions.ends_at(session, route.touch, now).map(|at| at.since(now).as_secs());
        Ok(Dressed::new(outfit, expires_in))
    }

    fn cookie_values(&self, inbound: &Inbound, headers: &HeaderMap) -> Vec<String> {
        if !cookie::path_matches(self.sessions.cookie_path(), inbound.target.path()) {
            return Vec::new();
        }
        self.named_cookies(headers)
    }

    fn named_cookies(&self, headers: &HeaderMap) -> Vec<String> {
        cookie::values(headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes), self.sessions.cookie_name())
    }
}

impl Facts {
    /// What is known once the visitor was looked up.
    fn of(route: Arc<Route>, visitor: &Visitor) -> Self {
        Facts {
            route: Some(route),
            handle: if let Visitor::Known(session) = visitor { Some(session.handle().as_str().to_owned()) } else { None },
            lapse: lapse(visitor),
            cause: if let Visitor::Unreachable { error, .. } = visitor { Some(chain(error.as_ref())) } else { None },
        }
    }
}

fn lapse(visitor: &Visitor) -> Option<&'static str> {
    if let Visitor::Lapsed(lapse) = visitor { Some(lapse.as_str()) } else { None }
}

fn refuse(rejection: Rejection, facts: Facts) -> Verdict {
    Verdict::Refuse(Box::new(Refusal { rejection, facts }))
}

fn no_route(none: NoRoute) -> Rejection {
    match none {
        NoRoute::Host => Rejection::Misdirected,
        NoRoute::Path => Rejection::NoRoute,
        NoRoute::Method(allowed) => Rejection::MethodRefused { allow: allowed.into_iter().collect::<Vec<_>>().join(", ") },
    }
}

fn client(inbound: &Inbound, agent: Option<&HeaderValue>) -> Client {
    Client { agent: agent_of(agent), address: address_text(inbound.client.address) }
}

/// The user agent for the visitor's list of devices: at most 256 bytes of printable ASCII.
fn agent_of(agent: Option<&HeaderValue>) -> String {
    let bytes = agent.map(HeaderValue::as_bytes).unwrap_or_default();
    bytes.iter().take(256).map(|b| if matches!(b, 0x20..=0x7e) { char::from(*b) } else { '?' }).collect()
}

//! The product without a server: what to do with a request ([`Edge::receive`]) and with the app's answer ([`Edge::depart`]).

use crate::access::{self, Doors, Passage};
use crate::endpoint::{self, Desk, Endpoint, Question, own_cookie};
use crate::header::end;
use crate::header::names::Reserved;
use crate::header::request::{Dressed, Dresser, TooLarge, View};
use crate::header::response::{self, Wishes};
use crate::inbound::{Inbound, Malformed, Site, address_text};
use crate::pages::{Language, Look, Manner};
use crate::rejection::Rejection;
use crate::reply::Reply;
use crate::route::{NoRoute, Route, Routes, SessionUse, Write};
use crate::session::id::SessionKey;
use crate::session::lifecycle::Lapse;
use crate::session::record::Client;
use crate::session::{Changes, Circumstances, CookieOrder, Dropped, Event, Session, Sessions, Visitor, cookie};
use crate::telemetry::chain;
use http::header::{COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
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

/// What must be done to the app's answer.
pub struct Departure {
    /// Our cookie, to append.
    pub set_cookie: Option<HeaderValue>,
    /// Lines that expire the app's cookies; before its own, so that one that it sets in this answer stays.
    pub ended_cookies: Vec<HeaderValue>,
    /// The answer belongs to one visitor: shared caches must not keep it.
    pub is_private: bool,
    /// Only people who are signed in get such an answer.
    pub is_behind_login: bool,
    /// What happened, for the log.
    pub event: Event,
    /// The handle of a session that began.
    pub begun: Option<String>,
}

impl Departure {
    fn untouched(event: Event) -> Self {
        Departure { set_cookie: None, ended_cookies: Vec::new(), is_private: false, is_behind_login: false, event, begun: None }
    }
}

/// The app's answer is discarded, and this takes its place.
pub struct Refused {
    pub rejection: Rejection,
    /// Our cookie, and lines that expire the app's.
    pub set_cookies: Vec<HeaderValue>,
    pub event: Event,
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
        Edge { sessions, site, reserved, our_cookies, look, desk: None, policy }
    }

    /// With a login of its own, in the operator's look. No app may write what a login fills by `write = "all"`.
    pub fn with_login(mut self, desk: Desk, look: Look) -> Self {
        self.policy.protected.extend(desk.gatekeeper.filled_fields());
        Edge { desk: Some(desk), look, ..self }
    }

    /// How our pages speak to whoever sent these headers.
    pub fn manner(&self, headers: &HeaderMap) -> Manner<'_> {
        Manner::new(&self.look, Language::of(headers))
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

    /// Answers one of our own pages. `form` is the body of a POST.
    pub async fn answer(&self, endpoint: Endpoint, inbound: &Inbound, headers: &HeaderMap, form: &[u8]) -> Reply {
        // Read whatever its path says: a logout must find the session.
        let cookies = if endpoint.is_personal() { self.named_cookies(headers) } else { Vec::new() };
        let visitor = self.visitor(&cookies).await;
        if let Visitor::Unreachable { error, .. } = &visitor {
            tracing::warn!(error = chain(error.as_ref()), page = endpoint.name(), "a visitor's session cannot be read");
        }
        let client = client(inbound, headers.get(USER_AGENT));
        let ended_cookies = if inbound.method == Method::POST { self.ended_cookies(inbound) } else { Vec::new() };
        let (sessions, ended_cookies) = (&self.sessions, ended_cookies.as_slice());
        let (exposed, doors, desk, manner) = (self.policy.exposed.as_slice(), &self.policy.doors, self.desk.as_ref(), self.manner(headers));
        let cookies = cookies.as_slice();
        let question = Question { inbound, headers, form, visitor, cookies, client, sessions, ended_cookies, exposed, manner, doors, desk };
        endpoint::answer(endpoint, &question).await
    }

    /// Commits what the app's answer asks for. Called for every final head and for a 101, before a byte of it leaves.
    pub async fn depart(&self, visit: &mut Visit, headers: &HeaderMap) -> Result<Departure, Refused> {
        if !visit.has_session {
            return Ok(Departure::untouched(Event::None));
        }
        let changes = self.wishes(visit, headers);
        let is_behind_login = visit.route.session == SessionUse::Required;
        if changes.is_empty() && self.sessions.keeps_out_of_it(&visit.visitor) {
            return Ok(Departure::untouched(Event::None));
        }
        if let Visitor::Known(session) = &visit.visitor
            && changes.is_empty()
            && self.sessions.is_at_rest(session, visit.route.touch)
        {
            return Ok(Departure { is_private: true, is_behind_login, ..Departure::untouched(Event::Resumed) });
        }
        let visitor = std::mem::replace(&mut visit.visitor, Visitor::Stranger);
        let had_session = matches!(visitor, Visitor::Known(_));
        let before = if let Visitor::Known(session) = &visitor { session.user().map(str::to_owned) } else { None };
        let login = changes.login.clone();
        let secure = visit.inbound.secure;
        let at = Circumstances {
            secure,
            cookie_possible: self.cookie_possible(&visit.inbound),
            touch: visit.route.touch,
            client: client(&visit.inbound, visit.agent.as_ref()),
        };
        let outcome = Box::pin(self.sessions.commit(visitor, changes, at)).await.map_err(|error| {
            let cause = Some(chain(error.as_ref()));
            Refused { rejection: Rejection::StoreUnavailable, set_cookies: Vec::new(), event: Event::None, cause }
        })?;
        if let Event::Dropped(reason) = outcome.event {
            tracing::warn!(
                route = visit.route.name,
                reason = outcome.event.as_str(),
                gone = reason == Dropped::Gone,
                "an app's session changes were dropped"
            );
        }
        let set_cookie = match outcome.cookie {
            CookieOrder::Set(line) => HeaderValue::try_from(line).ok(),
            CookieOrder::Keep => None,
        };
        let mut ended_cookies = match outcome.event {
            Event::Ended | Event::EndedAll | Event::EndUnconfirmed => self.ended_cookies(&visit.inbound),
            // Without the header it was the field that names the user, and that has changed.
            Event::LoggedIn | Event::SignedOut if before.is_some() && (login.is_none() || login != before) => {
                self.ended_cookies(&visit.inbound)
            }
            _ => Vec::new(),
        };
        if outcome.event == Event::EndUnconfirmed {
            ended_cookies.extend(set_cookie);
            // Why was logged where the store refused.
            return Err(Refused { rejection: Rejection::LogoutUnconfirmed, set_cookies: ended_cookies, event: outcome.event, cause: None });
        }
        let begun = outcome.begun.map(|handle| handle.as_str().to_owned());
        let is_private = had_session || set_cookie.is_some();
        Ok(Departure { set_cookie, ended_cookies, is_private, is_behind_login, event: outcome.event, begun })
    }

    /// What a visitor is told whose session ended while the app was at work.
    pub fn ended_meanwhile(&self, visit: &Visit, headers: &HeaderMap) -> Rejection {
        access::turned_out(&visit.route, &visit.inbound, headers, &self.policy.doors)
    }

    /// `Set-Cookie` lines for a browser whose session ended, or in which somebody else signs in: they expire the cookies that the routes of
    /// this host name in `end_app_cookies`.
    ///
    /// A cookie of an app stays if the app set it with a `Domain` other than our own cookie's, or with a `Path` other than `/` and that of
    /// its route.
    pub fn ended_cookies(&self, inbound: &Inbound) -> Vec<HeaderValue> {
        let mut lines: Vec<HeaderValue> = Vec::new();
        for route in self.policy.routes.iter().filter(|route| route.pattern.matches_host(inbound.host.name())) {
            let below = route.pattern.path.base();
            let paths = ["/"].into_iter().chain(Some(below).filter(|path| *path != "/" && !path.contains(';')));
            for name in &route.end_app_cookies {
                lines.extend(end::expire(name, paths.clone(), self.sessions.cookie_domain(), inbound.secure));
            }
        }
        lines.sort();
        lines.dedup();
        lines
    }

    /// What the answer asks for and the route allows: all of it, or (but for an end) nothing.
    fn wishes(&self, visit: &Visit, headers: &HeaderMap) -> Changes {
        if !response::asks(headers) {
            return Changes::default();
        }
        let route = &visit.route;
        let may_any = route.login || route.write != Write::None;
        let wishes = Wishes::read(headers);
        let end = wishes.end.filter(|end| match end {
            crate::session::End::This => may_any,
            crate::session::End::All => route.login,
        });
        if end.is_none() && wishes.end.is_some() {
            tracing::warn!(route = route.name, "an app without permission asked to end a session");
        }
        let refused = |reason: String| {
            tracing::warn!(route = route.name, reason, "an app's session changes were refused whole");
            Changes { end, ..Changes::default() }
        };
        match wishes.changes {
            Err(malformed) => refused(malformed.to_string()),
            Ok(changes) => match response::permitted(&changes, &route.write, route.login, &self.policy.protected) {
                Ok(()) => Changes { end, ..changes },
                Err(forbidden) => refused(forbidden.to_string()),
            },
        }
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

    fn dress(&self, route: &Route, session: &Session) -> Result<Dressed, TooLarge> {
        let record = session.record();
        let ends = self.sessions.ends_at(session, route.touch);
        let view = View {
            handle: session.handle().as_str(),
            user: session.user(),
            data: &record.data,
            expires_in: ends.map(|at| at.since(self.sessions.now()).as_secs()),
        };
        Dresser::new(&route.headers).dress(&view)
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

    fn cookie_possible(&self, inbound: &Inbound) -> bool {
        self.sessions.cookie_is_possible(inbound.secure) && cookie::path_matches(self.sessions.cookie_path(), inbound.target.path())
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

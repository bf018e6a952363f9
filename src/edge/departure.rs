//! What the app's answer does to the session, and what must be done to the answer.

use super::{Edge, Visit, client};
use crate::access;
use crate::header::end;
use crate::header::response::{self, Wishes};
use crate::inbound::Inbound;
use crate::rejection::Rejection;
use crate::route::{SessionUse, Write};
use crate::session::{Changes, Circumstances, CookieOrder, Dropped, End, Event, Visitor, cookie};
use crate::telemetry::chain;
use http::{HeaderMap, HeaderValue};

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
            End::This => may_any,
            End::All => route.login,
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

    fn cookie_possible(&self, inbound: &Inbound) -> bool {
        self.sessions.cookie_is_possible(inbound.secure) && cookie::path_matches(self.sessions.cookie_path(), inbound.target.path())
    }
}

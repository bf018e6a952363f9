//! What a request puts on on its way to the app, and what the app's answer takes off on its way back.

use super::closing::Name;
use super::exchange::Exchange;
use super::upstream::Upstream;
use super::{MOST_INTERIM, Proxy, downstream, unpanicked};
use crate::edge::{Refused, Visit};
use crate::header::forwarded;
use crate::rejection::Rejection;
use crate::session::Event;
use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr as _, Result};

impl Proxy {
    /// The head as the app gets it: canonical target, no name of ours but what we wrote.
    pub(super) fn dress(&self, visit: &Visit, request: &mut Parts, upstream: Option<&Upstream>) -> Result<()> {
        let inbound = &visit.inbound;
        let path = inbound.target.path();
        let (stripped, path) = visit.route.stripped(path).map_or((None, path), |(gone, rest)| (Some(gone), rest));
        downstream::set_target(request, inbound, path)?;
        let own_host = if visit.route.preserve_host { None } else { upstream.and_then(Upstream::authority) };
        let host = own_host.as_deref().unwrap_or(inbound.host.authority());
        let headers = &mut request.headers;
        // At once: a map that grows field by field is built anew each time.
        let room = visit.dressed.headers().count() + forwarded::MOST;
        headers.try_reserve(room).or_err(ErrorType::InternalError, "more header fields than a map holds")?;
        // Named once, as was checked: nothing to do if it is the right one.
        if headers.get(HOST).is_none_or(|said| said != host) {
            headers.insert(HOST, HeaderValue::try_from(host).or_err(ErrorType::InternalError, "a checked host is no header value")?);
        }
        downstream::set_cookies(headers, &self.edge().our_cookies);
        let told = forwarded::headers(inbound, headers, stripped);
        // No name of these is the client's: `early_request_filter` has stripped them before anything else was done.
        let own = visit.dressed.headers().map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in told.chain(own) {
            headers.insert(name, value);
        }
        Ok(())
    }

    /// Commits what the app's answer asks for, then strips it.
    pub(super) async fn undress(&self, exchange: &mut Exchange, head: &mut ResponseHeader) -> Result<()> {
        let ours = &self.edge().our_cookies;
        let is_final = !head.status.is_informational() || head.status == 101;
        let Some(visit) = exchange.visit.as_deref_mut().filter(|_| is_final) else {
            exchange.interim += 1;
            return if exchange.interim > MOST_INTERIM {
                exchange.refuse(Rejection::UpstreamMalformed)
            } else {
                downstream::strip_response(head, ours)
            };
        };
        let departed = unpanicked(self.edge().depart(visit, &head.headers)).await;
        downstream::strip_response(head, ours)?;
        match departed {
            Some(Ok(mut departure)) => {
                exchange.event = departure.event;
                exchange.facts.handle = departure.begun.take();
                self.close_ended(departure.event, &exchange.visit);
                downstream::finish_response(head, departure, &self.edge().reserved)
            }
            Some(Err(Refused { rejection, set_cookies, event, cause })) => {
                exchange.event = event;
                exchange.facts.cause = cause;
                exchange.refusal_cookies = set_cookies;
                self.close_ended(event, &exchange.visit);
                exchange.refuse(rejection)
            }
            None => exchange.refuse(Rejection::Defect),
        }
    }

    /// What is open for a session does not outlive it, and is known by its new key when it has one.
    fn close_ended(&self, event: Event, visit: &Option<Box<Visit>>) {
        let Some(visit) = visit else { return };
        match (event, visit.dressed.handle(), visit.dressed.user()) {
            (Event::EndedAll, _, Some(user)) => self.shared.tunnels.close(Name::User(user.to_owned())),
            // A login ends the session that the visitor came with.
            (Event::Ended | Event::EndUnconfirmed | Event::EndedAll | Event::LoggedIn | Event::SignedOut, Some(handle), _) => {
                self.shared.tunnels.close(Name::Session(handle.to_owned()));
            }
            (Event::Renewed, Some(handle), _) if self.shared.tunnels.doubt(&Name::Session(handle.to_owned())) => {
                self.shared.doubts.notify_one();
            }
            (Event::EndUnconfirmed, None, _) => self.shared.tunnels.close_keys(&visit.keys),
            _ => {}
        }
    }
}

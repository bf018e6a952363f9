//! What is known of one request, from its head to its line in the log.

use super::closing::Closings;
use super::downstream;
use super::errand::{Errand, Errands, Place};
use super::upstream::{Order, Upstream};
use crate::edge::{Facts, Visit};
use crate::endpoint::Endpoint;
use crate::inbound::{Asker, Inbound, address_text};
use crate::rejection::Rejection;
use crate::session::Event;
use crate::telemetry::AccessLine;
use http::HeaderMap;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

/// Requests: how many are being served, which of them for a session, and how many there were since the process began.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) count: AtomicUsize,
    pub(super) total: AtomicU64,
    pub(super) bell: Notify,
    pub(super) errands: Errands,
}

/// One request, from its head to its line in the log.
pub struct Exchange {
    pub(super) arrived: Instant,
    /// How many came before it.
    pub(super) number: u64,
    /// Set once the head is understood.
    pub(super) inbound: Option<Arc<Inbound>>,
    /// Set once the request is on its way to an app.
    pub(super) visit: Option<Box<Visit>>,
    pub(super) endpoint: Option<Endpoint>,
    /// Why it is refused, if it is.
    pub(super) refusal: Option<Rejection>,
    pub(super) facts: Facts,
    /// Goes with the refusal's page.
    pub(super) refusal_cookies: Vec<http::HeaderValue>,
    pub(super) event: Event,
    /// Why an answer of our own is no more than it is; empty when there is nothing to say.
    pub(super) reason: &'static str,
    pub(super) upstream: Option<Arc<Upstream>>,
    /// In which order the upstream's servers are asked, and how many could not be reached.
    pub(super) order: Option<Order>,
    pub(super) unreached: usize,
    pub(super) interim: usize,
    pub(super) body_bytes: u64,
    pub(super) tunnel_bytes: (u64, u64),
    /// From before the visitor's session was read.
    pub(super) since: Closings,
    /// While it is with the app on behalf of a session.
    pub(super) errand: Option<Place>,
    /// The app has said all, and may still be reading.
    pub(super) is_answered: bool,
    pub(super) under_way: Arc<UnderWay>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.come_back();
        if self.under_way.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.under_way.bell.notify_waiters();
        }
    }
}

impl Exchange {
    /// Counts as under way until it is dropped.
    pub(super) fn begin(under_way: Arc<UnderWay>) -> Self {
        under_way.count.fetch_add(1, Ordering::AcqRel);
        // Beside the other: this one costs next to nothing.
        let number = under_way.total.fetch_add(1, Ordering::Relaxed);
        Exchange {
            arrived: Instant::now(),
            number,
            inbound: None,
            visit: None,
            endpoint: None,
            refusal: None,
            facts: Facts::default(),
            refusal_cookies: Vec::new(),
            event: Event::None,
            reason: "",
            upstream: None,
            order: None,
            unreached: 0,
            interim: 0,
            body_bytes: 0,
            tunnel_bytes: (0, 0),
            since: Closings::default(),
            errand: None,
            is_answered: false,
            under_way,
        }
    }

    /// From now on the end of the session ends it.
    pub(super) fn set_out(&mut self, errand: Errand) {
        self.errand = Some(self.under_way.errands.begin(errand));
    }

    /// From now on it does not, and the app's connection may be anybody's.
    pub(super) fn come_back(&mut self) -> Option<Errand> {
        self.errand.take().and_then(|place| self.under_way.errands.finish(place))
    }

    /// Notes why, and stops the phases: `fail_to_proxy` writes the page.
    pub(super) fn refuse<T>(&mut self, rejection: Rejection) -> Result<T> {
        let status = rejection.status();
        self.refusal = Some(rejection);
        Error::e_explain(ErrorType::HTTPStatus(status), "refused")
    }

    /// Passes over a server that could not be reached; whether there are others to try.
    pub(super) fn pass_over(&mut self) -> bool {
        self.unreached += 1;
        self.upstream.as_ref().is_some_and(|upstream| self.unreached < upstream.server_count())
    }

    /// Whether a person or a script asks; a head that was not understood gets a page.
    pub(super) fn asker(&self, headers: &HeaderMap) -> Asker {
        self.inbound.as_ref().map_or(Asker::Person, |inbound| inbound.asker(headers))
    }

    /// Writes the access line.
    pub(super) fn remember(&self, session: &Session, error: Option<&Error>) {
        let inbound = self.inbound.as_ref();
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        let (visit, facts) = (self.visit.as_deref(), &self.facts);
        let route = visit.map(|visit| &visit.route).or(facts.route.as_ref()).map(|route| route.name.as_str());
        let handle = facts.handle.as_deref().or_else(|| visit.and_then(|visit| visit.dressed.handle()));
        let lapse = facts.lapse.or_else(|| visit.and_then(|visit| visit.lapse)).filter(|_| self.event == Event::None);
        let truncated = || error.map(|error| error.etype().as_str().to_owned());
        let reason = self.refusal.as_ref().map(|refusal| refusal.log_reason().to_owned());
        let reason = reason.or_else(|| Some(self.reason.to_owned()).filter(|own| !own.is_empty())).or_else(truncated);
        let client = address_text(inbound.map_or_else(|| downstream::peer(session), |inbound| inbound.client.address));
        AccessLine {
            method: inbound.map_or("-", |inbound| inbound.method.as_str()),
            host: inbound.map_or("-", |inbound| inbound.host.name()),
            path: inbound.map_or("-", |inbound| inbound.target.path()),
            status,
            time: self.arrived.elapsed(),
            bytes_in: session.body_bytes_read() as u64 + self.tunnel_bytes.0,
            bytes_out: (session.body_bytes_sent() as u64).max(self.tunnel_bytes.1),
            client: &client,
            route: route.or_else(|| self.endpoint.map(|own| own.name())).unwrap_or("-"),
            upstream: self.upstream.as_ref().map_or("-", |upstream| upstream.name()),
            handle: handle.unwrap_or("-"),
            session: lapse.unwrap_or(self.event.as_str()),
            reason: reason.as_deref().unwrap_or(""),
            cause: facts.cause.as_deref().unwrap_or(""),
        }
        .write();
    }
}

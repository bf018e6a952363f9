//! One request's phases, each a few lines. **Start here**: `early_request_filter` → `request_filter` → `upstream_peer` →
//! `connected_to_upstream` → `upstream_request_filter` → (the app) → `response_filter` → `upstream_response_body_filter` → `logging`.

mod closer;
mod closing;
mod downstream;
mod dressing;
mod errand;
mod exchange;
pub mod guard;
mod last_word;
mod sticky;
mod tunnel;
mod upstream;
mod watch;
mod websocket;

pub use exchange::Exchange;
pub use upstream::{Balance, Patience, Upstream};

use crate::edge::{Edge, Verdict};
use crate::endpoint::Endpoint;
use crate::header::strip;
use crate::rejection::Rejection;
use crate::session::Visitor;
use async_trait::async_trait;
use bytes::Bytes;
use closing::{Name, Tunnels};
use errand::{Errand, Line};
use exchange::UnderWay;
use futures_util::FutureExt as _;
use http::HeaderMap;
use pingora::connectors::http::v1::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

/// Serves requests: [`Edge`] decides, Pingora carries. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    edge: Edge,
    upstreams: HashMap<String, Arc<Upstream>>,
    limits: Limits,
    tunnels: Arc<Tunnels>,
    /// Rung when a session of a tunnel is in doubt.
    doubts: Notify,
    /// For tunnels. Made when it is first needed, because it reads every root certificate of the machine.
    connector: OnceLock<Connector>,
    under_way: Arc<UnderWay>,
    access_log: bool,
}

/// What a request's head may be, and how long a client may stay idle.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub head_bytes: usize,
    pub head_fields: usize,
    pub idle: Duration,
}

/// Interim answers (1xx) before the final one; an app that sends more is given up.
const MOST_INTERIM: usize = 8;

impl Proxy {
    /// Everything is prepared at start.
    pub fn new(edge: Edge, upstreams: Vec<Arc<Upstream>>, limits: Limits, access_log: bool) -> Self {
        let upstreams = upstreams.into_iter().map(|upstream| (upstream.name().to_owned(), upstream)).collect();
        let shared = Shared {
            edge,
            upstreams,
            limits,
            tunnels: Arc::default(),
            doubts: Notify::new(),
            connector: OnceLock::new(),
            under_way: Arc::default(),
            access_log,
        };
        Proxy { shared: Arc::new(shared) }
    }

    /// From now on the end of a session ends its open connections, whoever ends it.
    pub fn watch_sessions(&self) {
        let (own, others) = self.edge().sessions.news();
        for news in [Some(own), others].into_iter().flatten() {
            tokio::spawn(watch::listen(self.shared.clone(), news));
        }
        tokio::spawn(watch::look(self.shared.clone()));
        tokio::spawn(watch::look_out(self.shared.clone()));
    }

    /// Requests being served, and touches that are still to reach the store.
    pub fn in_flight(&self) -> usize {
        self.shared.under_way.count.load(Ordering::Acquire) + self.shared.edge.sessions.touches_under_way()
    }

    /// Requests since the process began.
    pub fn requests(&self) -> u64 {
        self.shared.under_way.total.load(Ordering::Relaxed)
    }

    /// Resolves once nothing is under way.
    pub async fn drained(&self) {
        while self.in_flight() > 0 {
            let rung = self.shared.under_way.bell.notified();
            // Touches ring no bell.
            let _ = tokio::time::timeout(Duration::from_millis(20), rung).await;
        }
    }

    /// Whether every exchange has its line.
    pub fn has_access_log(&self) -> bool {
        self.shared.access_log
    }

    /// Closes every WebSocket, because the process ends.
    pub fn close_tunnels(&self) {
        self.shared.tunnels.close_all();
    }

    /// Whether the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.shared.tunnels.is_closing()
    }

    /// Open WebSockets, and requests for a session that take long.
    pub fn open_connections(&self) -> usize {
        self.shared.tunnels.count()
    }

    /// The most servers that any upstream has.
    pub fn most_servers(&self) -> usize {
        self.shared.upstreams.values().map(|upstream| upstream.server_count()).max().unwrap_or(1)
    }

    fn edge(&self) -> &Edge {
        &self.shared.edge
    }

    /// The server for this request: the first in its order that was not found unreachable. One that only let a kept-alive connection die is asked
    /// again, because a session's state is there and nowhere else.
    async fn peer(&self, exchange: &mut Exchange) -> Result<HttpPeer> {
        let Some(visit) = &exchange.visit else { return exchange.refuse(Rejection::Defect) };
        let timeout = visit.route.timeout;
        let Some(upstream) = self.shared.upstreams.get(&visit.route.upstream) else { return exchange.refuse(Rejection::Defect) };
        let order = *exchange.order.get_or_insert_with(|| upstream.order(visit.dressed.handle()));
        let unreached = exchange.unreached;
        exchange.upstream = Some(upstream.clone());
        let patience = Patience { connect: timeout.connect, read: timeout.read };
        let mut peer = upstream.peer(order, unreached, patience);
        if peer.is_none() && tokio::time::timeout(timeout.connect, upstream.looked_up()).await.is_ok() {
            peer = upstream.peer(order, unreached, patience);
        }
        if peer.is_none() {
            exchange.facts.cause = Some("no server's name could be resolved".to_owned());
        }
        peer.map_or_else(|| exchange.refuse(Rejection::UpstreamUnreachable), Ok)
    }

    /// Whether the request's session has ended. If both bodies are over with what is passed on next, nothing ends the request any more.
    fn is_cut(&self, exchange: &mut Exchange, is_over: bool) -> bool {
        if is_over {
            return exchange.come_back().is_some_and(|errand| errand.is_cut());
        }
        exchange.errand.is_some_and(|place| self.shared.under_way.errands.is_cut(place))
    }

    /// Stops the phases of a request whose session has ended meanwhile.
    fn refuse_ended<T>(&self, session: &Session, exchange: &mut Exchange) -> Result<T> {
        let Some(visit) = &exchange.visit else { return exchange.refuse(Rejection::Defect) };
        let rejection = self.edge().ended_meanwhile(visit, &session.req_header().headers);
        exchange.refuse(rejection)
    }
}

/// `None` if the policy code panicked: the exchange is answered and logged all the same.
async fn unpanicked<T>(step: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(step).catch_unwind().await.ok()
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed, because it is handed from future to future.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        Box::new(Exchange::begin(self.shared.under_way.clone()))
    }

    /// None: bodies pass as they are.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    /// Understood or refused, then stripped: nothing of ours that a client sent is seen by anything that follows.
    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<()> {
        guard::busy();
        downstream::set_timeouts(session);
        match downstream::understand(session, self.edge(), self.shared.limits) {
            Ok(inbound) => {
                downstream::strip_request(session, self.edge(), &inbound);
                exchange.inbound = Some(Arc::new(inbound));
                Ok(())
            }
            Err(rejection) => exchange.refuse(rejection),
        }
    }

    /// Decided: an answer of ours, a refusal, a WebSocket, or on to the app.
    async fn request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Result<bool> {
        let Some(inbound) = exchange.inbound.clone() else { return exchange.refuse(Rejection::Defect) };
        exchange.since = self.shared.tunnels.closings();
        let verdict = unpanicked(self.edge().receive(inbound, &session.req_header().headers)).await;
        match verdict {
            Some(Verdict::Forward(visit)) => exchange.visit = Some(visit),
            Some(Verdict::Refuse(refusal)) => {
                exchange.facts = refusal.facts;
                return exchange.refuse(refusal.rejection);
            }
            // Boxed, like the tunnel below: rare branches must not make every request's future larger.
            Some(Verdict::Own(endpoint)) => return Box::pin(self.answer_own(session, exchange, endpoint)).await,
            None => return exchange.refuse(Rejection::Defect),
        }
        if exchange.visit.as_ref().is_some_and(|visit| visit.inbound.upgrade) {
            Box::pin(self.tunnel(session, exchange)).await?;
            return Ok(true);
        }
        if let Some(most) = exchange.visit.as_ref().and_then(|visit| visit.route.max_body)
            && downstream::content_length(session).is_some_and(|length| length > most)
        {
            return exchange.refuse(Rejection::BodyTooLarge);
        }
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, exchange: &mut Box<Exchange>) -> Result<Box<HttpPeer>> {
        self.peer(exchange).await.map(Box::new)
    }

    /// Nothing was sent yet, so another server may be tried, whatever the method.
    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, exchange: &mut Box<Exchange>, mut error: Box<Error>) -> Box<Error> {
        error.set_retry(exchange.pass_over());
        error
    }

    /// From here on the end of the session ends the request.
    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        descriptor: RawFd,
        digest: Option<&Digest>,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        if let Some(Visitor::Known(session)) = exchange.visit.as_ref().map(|visit| &visit.visitor)
            && let Some(socket) = digest.and_then(|digest| digest.socket_digest.clone())
        {
            let line = Line::new(descriptor, socket);
            let errand = Errand::new(exchange.number, exchange.arrived, session.clone(), exchange.since, line);
            exchange.set_out(errand);
        }
        Ok(())
    }

    /// Dressed. Runs again on a fresh clone of the head if the request is tried again.
    async fn upstream_request_filter(&self, _: &mut Session, request: &mut RequestHeader, exchange: &mut Box<Exchange>) -> Result<()> {
        match &exchange.visit {
            Some(visit) => downstream::with_parts(request, |parts| self.dress(visit, parts, exchange.upstream.as_deref())),
            None => exchange.refuse(Rejection::Defect),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<()> {
        // An app may answer first and go on reading.
        if exchange.is_answered && self.is_cut(exchange, is_last) {
            return self.refuse_ended(session, exchange);
        }
        exchange.body_bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let most = exchange.visit.as_ref().and_then(|visit| visit.route.max_body);
        if most.is_some_and(|most| exchange.body_bytes > most) { exchange.refuse(Rejection::BodyTooLarge) } else { Ok(()) }
    }

    /// Undressed, committed, and only then on its way: what the visitor is told is stored.
    async fn response_filter(&self, session: &mut Session, head: &mut ResponseHeader, exchange: &mut Box<Exchange>) -> Result<()> {
        if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
            // Whoever asks for another protocol goes through a tunnel; nobody asked here.
            return exchange.refuse(Rejection::UpstreamMalformed);
        }
        let errand = if head.status.is_informational() { None } else { exchange.come_back() };
        if errand.as_ref().is_some_and(Errand::is_cut) {
            return self.refuse_ended(session, exchange);
        }
        let has_body = downstream::has_body(session, head);
        let goes_on = errand.is_some() && (has_body || !session.as_mut().is_body_done());
        self.undress(exchange, head).await?;
        // An answer by which the visitor signs in or out is theirs to the end.
        if let Some(errand) = errand.filter(|_| goes_on && !exchange.event.is_the_end()) {
            exchange.set_out(errand.for_body(guard::current()));
            exchange.is_answered = !has_body;
        }
        downstream::suit_version(session, head);
        Ok(())
    }

    /// Nothing more of an answer whose session has ended, whatever the app's connection still holds.
    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        _: &mut Option<Bytes>,
        is_last: bool,
        exchange: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        exchange.is_answered |= is_last;
        let is_over = is_last && session.as_mut().is_body_done();
        if self.is_cut(exchange, is_over) { self.refuse_ended(session, exchange) } else { Ok(None) }
    }

    async fn response_trailer_filter(&self, _: &mut Session, trailers: &mut HeaderMap, _: &mut Box<Exchange>) -> Result<Option<Bytes>> {
        for name in strip::reserved(trailers, &self.edge().reserved) {
            trailers.remove(name);
        }
        Ok(None)
    }

    /// Only a kept-alive connection that died under a harmless request gives it another try, as Pingora itself has it; a session's end
    /// does not.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Box<Exchange>,
        was_pooled: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let is_cut = exchange.come_back().is_some_and(|errand| errand.is_cut());
        if is_cut && exchange.refusal.is_none() {
            let _ = self.refuse_ended::<()>(session, exchange);
        }
        if is_cut || !session.req_header().method.is_idempotent() || session.as_ref().retry_buffer_truncated() {
            error.set_retry(false);
        } else {
            error.retry.decide_reuse(was_pooled);
        }
        error
    }

    /// Every page of an error is written here, by one function from one table.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Box<Exchange>) -> FailToProxy {
        let rejection = exchange.refusal.clone().or_else(|| downstream::rejection_of(error));
        if exchange.refusal.is_none() && rejection.as_ref().is_some_and(|rejection| rejection.status() >= 500) {
            exchange.facts.cause = Some(error.to_string());
        }
        let mut status = 0;
        if let Some(rejection) = rejection {
            exchange.refusal = Some(rejection.clone());
            if session.response_written().is_none_or(|head| head.status.is_informational()) {
                status = rejection.status();
                let headers = &session.req_header().headers;
                let (asker, manner) = (exchange.asker(headers), self.edge().manner(headers));
                let mut reply = rejection.reply(asker, manner);
                reply.headers.extend(exchange.refusal_cookies.drain(..).map(|cookie| (http::header::SET_COOKIE, cookie)));
                session.set_keepalive(None);
                // The client may have left: then there is nobody to tell.
                let _ = downstream::write_reply(session, reply).await;
            }
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Box<Exchange>) {
        guard::idle();
        exchange.come_back();
        if self.shared.access_log || exchange.facts.cause.is_some() {
            exchange.remember(session, error);
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &Box<Exchange>, _: &Error) -> bool {
        // The access line says it, without the query.
        true
    }

    fn request_summary(&self, _: &Session, exchange: &Box<Exchange>) -> String {
        exchange.inbound.as_ref().map_or_else(String::new, |inbound| format!("{} {}", inbound.method, inbound.target.path()))
    }
}

impl Proxy {
    async fn answer_own(&self, session: &mut Session, exchange: &mut Exchange, endpoint: Endpoint) -> Result<bool> {
        exchange.endpoint = Some(endpoint);
        let Some(inbound) = exchange.inbound.clone() else { return exchange.refuse(Rejection::Defect) };
        let form = if endpoint.reads_form(&inbound.method) {
            match downstream::read_form(session).await {
                Ok(form) => form,
                Err(rejection) => return exchange.refuse(rejection),
            }
        } else {
            Bytes::new()
        };
        let reply = unpanicked(self.edge().answer(endpoint, &inbound, &session.req_header().headers, &form)).await;
        let Some(reply) = reply else { return exchange.refuse(Rejection::Defect) };
        exchange.event = reply.event;
        exchange.reason = reply.reason;
        for handle in &reply.ended {
            self.shared.tunnels.close(Name::Session(handle.clone()));
        }
        self.shared.tunnels.close_keys(&reply.ended_keys);
        if let Some(user) = &reply.ended_user {
            self.shared.tunnels.close(Name::User(user.clone()));
        }
        downstream::write_reply(session, reply).await?;
        Ok(true)
    }
}

//! The WebSocket step: a request that asks for one leaves Pingora's phases here, and [`tunnel`] carries it.

use super::closing::{Closings, Ticket, Whose};
use super::exchange::Exchange;
use super::{Proxy, downstream, tunnel};
use crate::edge::Visit;
use crate::header::strip;
use crate::rejection::Rejection;
use crate::session::Visitor;
use pingora::Result;
use pingora::connectors::http::v1::Connector;
use pingora::proxy::Session;

impl Proxy {
    /// Carries a WebSocket from handshake to close.
    pub(super) async fn tunnel(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        let app = loop {
            let peer = self.peer(exchange).await?;
            match tunnel::connect(self.shared.connector.get_or_init(|| Connector::new(None)), &peer).await {
                Ok(app) => break app,
                Err(_) if exchange.pass_over() => {}
                Err(error) => return Err(error),
            }
        };
        let mut request = session.req_header().clone();
        let Some(visit) = &exchange.visit else { return exchange.refuse(Rejection::Defect) };
        for name in strip::hop_by_hop(&request.headers) {
            request.remove_header(&name);
        }
        request.insert_header("Connection", "Upgrade")?;
        request.insert_header("Upgrade", "websocket")?;
        downstream::with_parts(&mut request, |parts| self.dress(visit, parts, exchange.upstream.as_deref()))?;
        let route = visit.route.clone();
        // Entered before the app answers: an end of the session that comes meanwhile, or came since the session was read, is not missed.
        let ticket = self.enter(visit, exchange.since);
        let Some(opened) = tunnel::open(session, app, request, route.timeout.read, &ticket).await? else {
            return self.refuse_ended(session, exchange);
        };
        let mut head = opened.head.clone();
        self.undress(exchange, &mut head).await?;
        if head.status != 101 {
            // An answer by which the visitor signs in or out is theirs to the end.
            let ticket = Some(&ticket).filter(|_| !exchange.event.is_the_end());
            return match opened.relay_refusal(session, head, ticket).await? {
                Some(()) => Ok(()),
                None => self.refuse_ended(session, exchange),
            };
        }
        head.insert_header("Connection", "Upgrade")?;
        head.insert_header("Upgrade", "websocket")?;
        exchange.tunnel_bytes = opened.carry(session, head, route.timeout.idle_websocket, &ticket).await?;
        Ok(())
    }

    fn enter(&self, visit: &Visit, since: Closings) -> Ticket {
        let (whose, until) = match &visit.visitor {
            Visitor::Known(session) => (Whose::of(session), session.record().expires_at),
            _ => (Whose { keys: visit.keys.clone(), ..Whose::default() }, None),
        };
        self.shared.tunnels.enter(whose, until, since)
    }
}

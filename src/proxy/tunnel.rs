//! WebSockets, carried by ourselves: Pingora's own tunnel may end right after the 101 when the app answers fast, idles out after a
//! minute, and cannot be closed from outside.

use super::MOST_INTERIM;
use super::closing::Ticket;
use bytes::Bytes;
use pingora::connectors::http::v1::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v1::client::HttpSession as AppSession;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A side that takes no bytes for this long is gone.
const WRITE: Duration = Duration::from_secs(10);

/// The app's side of a tunnel whose final head has come but not been passed on.
pub struct Opened {
    app: AppSession,
    /// The app's answer: 101, or a refusal.
    pub head: ResponseHeader,
    patience: Duration,
}

/// Connects. Nothing is sent yet, so another server may be tried.
pub async fn connect(connector: &Connector, peer: &HttpPeer) -> Result<AppSession> {
    connector.get_http_session(peer).await.map(|(app, _)| app).map_err(Error::into_up)
}

/// Sends the dressed upgrade request and waits for the app's final answer, for as long as the visitor waits too, and the session stands:
/// `None` if it does not.
pub async fn open(
    session: &mut Session,
    app: AppSession,
    request: RequestHeader,
    patience: Duration,
    ticket: &Ticket,
) -> Result<Option<Opened>> {
    tokio::select! {
        opened = shake_hands(app, request, patience) => opened.map(Some).map_err(Error::into_up),
        () = ticket.session_ended() => Ok(None),
        // Nothing may come before the 101, so whatever comes is the end.
        gone = session.downstream_session.read_body_or_idle(true) => Err(gone.err().map_or_else(|| Error::new(ErrorType::ConnectionClosed), Error::into_down)),
    }
}

async fn shake_hands(mut app: AppSession, request: RequestHeader, patience: Duration) -> Result<Opened> {
    app.read_timeout = Some(patience);
    app.write_timeout = Some(WRITE);
    app.write_request_header(Box::new(request)).await?;
    for _ in 0..=MOST_INTERIM {
        app.read_response().await?;
        let head = app.resp_header().cloned().ok_or_else(|| Error::explain(ErrorType::H1Error, "no response head"))?;
        if !head.status.is_informational() || head.status == 101 {
            return Ok(Opened { app, head, patience });
        }
    }
    Error::e_explain(ErrorType::H1Error, "too many interim answers")
}

impl Opened {
    /// Passes on an answer that is no upgrade, head and body; `None`: the session is over, and so is the answer.
    pub async fn relay_refusal(mut self, session: &mut Session, head: ResponseHeader, ticket: Option<&Ticket>) -> Result<Option<()>> {
        session.write_response_header(Box::new(head), false).await?;
        let over = async {
            match ticket {
                Some(ticket) => ticket.session_ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            relayed = self.relay_body(session) => relayed.map(Some),
            () = over => Ok(None),
        }
    }

    async fn relay_body(&mut self, session: &mut Session) -> Result<()> {
        while let Some(chunk) = timed(self.patience, self.app.read_body_bytes()).await? {
            session.write_response_body(Some(chunk), false).await?;
        }
        session.write_response_body(None, true).await
    }

    /// Carries frames both ways until a side leaves, both are silent for `idle`, or the session ends. Returns bytes (in, out).
    pub async fn carry(mut self, session: &mut Session, head: ResponseHeader, idle: Duration, ticket: &Ticket) -> Result<(u64, u64)> {
        session.set_read_timeout(None);
        session.set_write_timeout(Some(WRITE));
        self.app.read_timeout = None;
        session.write_response_header(Box::new(head), false).await?;
        self.app.maybe_upgrade_body_writer();
        let (mut received, mut sent) = (0, 0);
        let mut silent_until = Instant::now() + idle;
        let told = loop {
            let closed = tokio::select! {
                from_client = session.downstream_session.read_body_or_idle(false) => match from_client? {
                    Some(frames) => {
                        received += frames.len() as u64;
                        unless_closed(ticket, self.app.write_body(&frames)).await?
                    }
                    None => break None,
                },
                from_app = self.app.read_body_bytes() => match from_app? {
                    Some(frames) => {
                        sent += frames.len() as u64;
                        match unless_closed(ticket, session.downstream_session.write_response_body(frames, false)).await? {
                            // In the middle of a frame there is no room for another one.
                            Some(_) => break None,
                            None => None,
                        }
                    }
                    None => break None,
                },
                code = ticket.closed() => Some(code),
                () = tokio::time::sleep_until(silent_until) => break None,
            };
            if closed.is_some() {
                break closed;
            }
            silent_until = Instant::now() + idle;
        };
        if let Some(code) = told {
            let _ = timed(WRITE, session.downstream_session.write_response_body(close_frame(code), false)).await;
        }
        self.app.shutdown().await;
        session.set_keepalive(None);
        Ok((received, sent))
    }
}

/// RFC 6455 section 5.5.1: an unmasked close frame with a status code. Sent between the app's writes, which end at frame borders in
/// all but pathological cases; a client in the middle of a frame sees the connection end instead.
fn close_frame(code: u16) -> Bytes {
    let [high, low] = code.to_be_bytes();
    Bytes::copy_from_slice(&[0x88, 2, high, low])
}

/// A side that takes no bytes keeps no tunnel open whose session is over: then the code, and what was to be written is lost.
async fn unless_closed<T>(ticket: &Ticket, write: impl Future<Output = Result<T>>) -> Result<Option<u16>> {
    tokio::select! {
        biased;
        written = timed(WRITE, write) => written.map(|_| None),
        code = ticket.closed() => Ok(Some(code)),
    }
}

async fn timed<T>(limit: Duration, step: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, step).await.unwrap_or_else(|_| Error::e_explain(ErrorType::WriteTimedout, "a WebSocket's other side takes no bytes"))
}

//! The life of a connection: one request after the other, under deadlines. Pingora has none for a whole request head, and none for one that
//! trickles in after an idle time.
//!
//! Between two requests only the connection itself is in memory: the server library, which would wait for the next head with all the state of
//! a request, is called when its first byte is there. Whatever is overdue is dropped. HTTP/1 only: on HTTP/2 a head is one or a few frames whose
//! size and time the protocol library bounds.

use super::Proxy;
use super::last_word::{self, LastWord, TOO_SLOW};
use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp as _, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

tokio::task_local! {
    static CONNECTION: Arc<Connection>;
}

/// How long a connection may take for a head, and stay idle between two requests.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub head: Duration,
    pub idle: Duration,
}

/// Seconds for which the server library would wait for a head. It is called when one has begun, and then [`Deadlines`] count.
const KEEP: u64 = 60;

/// Serves connections under [`Deadlines`].
pub struct Guard {
    inner: Arc<HttpProxy<Proxy>>,
    deadlines: Deadlines,
    h2c: bool,
    has_log: bool,
}

impl Guard {
    /// `h2c`: the listener speaks HTTP/2 by prior knowledge too; its HTTP/2 connections have no head deadline here. `has_log`: heads that
    /// are refused here have an access line.
    pub fn new(inner: Arc<HttpProxy<Proxy>>, deadlines: Deadlines, h2c: bool, has_log: bool) -> Self {
        Guard { inner, deadlines, h2c, has_log }
    }

    /// Serves the requests of a connection one after the other, until one of both sides or the process wants no more.
    async fn serve(&self, io: Stream, connection: &Arc<Connection>, stop: &ShutdownWatch) {
        if connection.is_h2 {
            // Nothing comes back of an HTTP/2 connection.
            let _ = self.inner.process_new(io, stop).await;
            return;
        }
        let first: Stream = Box::new(LastWord::over(io, connection.clone(), self.has_log));
        let mut next: Option<(Stream, Option<HttpPersistentSettings>)> = Some((first, None));
        let mut stopping = stop.clone();
        while let Some((stream, settings)) = next {
            // It is the one that was given.
            let Ok(mut stream) = stream.into_any().downcast::<LastWord>() else { return };
            tokio::select! {
                biased;
                begins = stream.begins() => if !begins { return },
                _ = stopping.changed() => return,
            }
            connection.head_begins();
            let mut session = ServerSession::new_http1(stream);
            match settings {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive(if *stop.borrow() { None } else { Some(KEEP) }),
            }
            next = self.inner.process_new_http(session, stop).await.map(ReusedHttpStream::consume);
        }
    }

    fn too_slow(&self, socket: RawFd, client: IpAddr, connection: &Connection) {
        say_too_slow(socket);
        if self.has_log {
            TOO_SLOW.log(client, connection);
        }
    }
}

#[async_trait]
impl ServerApp for Guard {
    /// Serves one connection to its end.
    async fn process_new(self: &Arc<Self>, mut io: Stream, stop: &ShutdownWatch) -> Option<Stream> {
        let (socket, client): (RawFd, IpAddr) = (io.id(), last_word::client(&io));
        let is_h2 = self.h2c
            && match timeout(self.deadlines.head, speaks_h2(&mut io)).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.too_slow(socket, client, &Connection::new(false));
                    return None;
                }
            };
        let connection = Arc::new(Connection::new(is_h2));
        let served = CONNECTION.scope(connection.clone(), self.serve(io, &connection, stop));
        tokio::pin!(served);
        tokio::select! {
            biased;
            () = &mut served => {}
            () = connection.cut.notified() => {}
            // Leaving drops `served`, which closes the socket.
            () = connection.overdue(self.deadlines) => {
                if connection.requests.load(Ordering::Relaxed) == 0 {
                    self.too_slow(socket, client, &connection);
                }
            }
        }
        None
    }

    /// Wakes idle connections so that they close; final.
    async fn cleanup(&self) {
        self.inner.cleanup().await;
    }
}

/// Whether a connection begins with HTTP/2's preface (RFC 9113 section 3.4). What was read is put back.
async fn speaks_h2(io: &mut Stream) -> bool {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut start = [0; PREFACE.len()];
    io.try_peek(&mut start).await.is_ok_and(|read| read) && start == *PREFACE
}

/// One last word. The socket does not block: a client that does not read gets nothing, and nobody waits for it.
#[allow(unsafe_code, reason = "the stream does not lend its descriptor in a safe type")]
fn say_too_slow(socket: RawFd) {
    // SAFETY: the caller still holds the stream that owns the descriptor.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let twin = socket.try_clone_to_owned().map(std::net::TcpStream::from);
    let _ = twin.map(|twin| (&twin).write(TOO_SLOW.bytes).is_ok());
}

/// Where a connection stands.
#[derive(Debug)]
pub(super) struct Connection {
    is_h2: bool,
    began: Instant,
    /// Milliseconds after `began` when it last began to wait for a head, or the head began; `BUSY` while a request is served.
    waiting_since: AtomicU64,
    /// No byte of the next head has come.
    is_idle: AtomicBool,
    requests: AtomicU64,
    /// Rung when it must end at once.
    cut: Notify,
}

const BUSY: u64 = u64::MAX;

impl Connection {
    fn new(is_h2: bool) -> Self {
        Connection {
            is_h2,
            began: Instant::now(),
            waiting_since: AtomicU64::new(if is_h2 { BUSY } else { 0 }),
            // The first head has no idle time before it: its deadline counts from the beginning.
            is_idle: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            cut: Notify::new(),
        }
    }

    /// Ends it at once.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Whether no request is being served: a head is waited for, or read.
    pub fn waits(&self) -> bool {
        self.waiting_since.load(Ordering::Relaxed) != BUSY
    }

    /// How long it has waited for a head, or for the end of one.
    pub fn waited(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.waiting_since.load(Ordering::Relaxed)))
    }

    fn head_begins(&self) {
        if self.is_idle.swap(false, Ordering::Relaxed) {
            self.waits_from_now();
        }
    }

    fn waits_from_now(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1);
        self.waiting_since.store(now, Ordering::Relaxed);
    }

    /// One timer that looks when it fires, at least once in the time that a head may take, instead of timers set and dropped with every
    /// request: those cost a fiftieth of it. So a head that follows an idle time may take up to twice as long.
    async fn overdue(&self, deadlines: Deadlines) {
        loop {
            let (now, waiting_since) = (Instant::now(), self.waiting_since.load(Ordering::Relaxed));
            let since = if waiting_since == BUSY { now } else { self.began + Duration::from_millis(waiting_since) };
            let due = since + if self.is_idle.load(Ordering::Relaxed) { deadlines.idle } else { deadlines.head };
            if now >= due {
                return;
            }
            tokio::time::sleep_until(due.min(now + deadlines.head)).await;
        }
    }
}

/// Says that a request head is complete on the connection of this task. A no-op on HTTP/2.
pub fn busy() {
    let _ = CONNECTION.try_with(|connection| {
        connection.requests.fetch_add(1, Ordering::Relaxed);
        connection.waiting_since.store(BUSY, Ordering::Relaxed);
    });
}

/// The connection of this task; `None` on HTTP/2.
pub(super) fn current() -> Option<Arc<Connection>> {
    CONNECTION.try_with(Arc::clone).ok()
}

/// Says that the answer is out and the connection waits for the next head. A no-op on HTTP/2.
pub fn idle() {
    let _ = CONNECTION.try_with(|connection| {
        connection.is_idle.store(true, Ordering::Relaxed);
        connection.waits_from_now();
    });
}

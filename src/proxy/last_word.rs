//! What the server library says by itself: to a head that it cannot parse, and to CONNECT, it answers before any phase of ours runs, under
//! its own name. It has no seam for that, so the connection's own stream puts our words in the place of its words, and writes the line.

use super::guard::Connection;
use crate::telemetry::AccessLine;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest, UniqueID, UniqueIDType,
};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How every answer of the library's own begins, and the name that gives it away.
const BEGINS: &[u8] = b"HTTP/1.1 ";
const NAMES_ITSELF: &[u8] = b"\r\nServer: Pingora\r\n";

/// As much as the server library reads at once.
const MOST_OF_HEADS: usize = 4096;

/// A connection on which nobody but us speaks.
#[derive(Debug)]
pub struct LastWord {
    stream: Stream,
    connection: Arc<Connection>,
    has_log: bool,
    /// What is still to be written instead.
    instead: Option<&'static [u8]>,
    /// The beginning of a head, for whoever reads next.
    unread: Bytes,
}

/// An answer to somebody whose request was not understood: no page, because nothing is known of who asks.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: &'static str,
    pub bytes: &'static [u8],
}

/// A head that cannot be parsed.
const UNREADABLE: Answer = Answer {
    status: 400,
    reason: "unreadable-head",
    bytes: b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 36\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nThe request could not be understood.\n",
};

/// CONNECT.
const REFUSED_METHOD: Answer = Answer {
    status: 405,
    reason: "method-refused",
    bytes: b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\nContent-Length: 0\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
};

/// A first head that does not come to its end.
pub const TOO_SLOW: Answer = Answer {
    status: 408,
    reason: "too-slow",
    bytes: b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\nContent-Length: 35\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nThe request took too long to come.\n",
};

impl Answer {
    /// The line of an exchange of which nothing is known but who began it.
    pub fn log(&self, client: IpAddr, connection: &Connection) {
        AccessLine {
            method: "-",
            host: "-",
            path: "-",
            status: self.status,
            time: connection.waited(),
            bytes_in: 0,
            bytes_out: self.bytes.len() as u64,
            client: &client.to_string(),
            route: "-",
            upstream: "-",
            handle: "-",
            session: "none",
            reason: self.reason,
            cause: "",
        }
        .write();
    }
}

/// Who is at the other end.
pub fn client(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let peer = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().map(|peer| peer.ip()));
    peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

impl LastWord {
    /// For an HTTP/1 connection.
    pub fn over(stream: Stream, connection: Arc<Connection>, has_log: bool) -> Self {
        LastWord { stream, connection, has_log, instead: None, unread: Bytes::new() }
    }

    /// Waits for the first bytes of a head, and keeps them. `false`: the client is gone.
    pub async fn begins(&mut self) -> bool {
        if !self.unread.is_empty() {
            return true;
        }
        let read = poll_fn(|context| {
            // Here, and not in the future that waits, so that an idle connection has no buffer.
            let mut bytes = [MaybeUninit::uninit(); MOST_OF_HEADS];
            let mut into = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut into))?;
            Poll::Ready(Ok::<_, io::Error>(Bytes::copy_from_slice(into.filled())))
        });
        self.unread = read.await.unwrap_or_default();
        !self.unread.is_empty()
    }

    /// Whether these bytes are the library's own answer: no phase of ours is under way, and they say so.
    fn is_not_ours(&self, bytes: &[u8]) -> bool {
        self.connection.waits() && bytes.starts_with(BEGINS) && bytes.windows(NAMES_ITSELF.len()).any(|part| part == NAMES_ITSELF)
    }

    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.instead.filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead = rest.get(written..);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LastWord {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            if !self.is_not_ours(bytes) {
                return Pin::new(&mut self.stream).poll_write(context, bytes);
            }
            let answer = if bytes.starts_with(b"HTTP/1.1 405") { &REFUSED_METHOD } else { &UNREADABLE };
            if self.has_log {
                answer.log(client(&self.stream), &self.connection);
            }
            self.instead = Some(answer.bytes);
        }
        ready!(self.poll_instead(context))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() && !self.connection.waits() {
            return Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        }
        let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
        self.poll_write(context, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl AsyncRead for LastWord {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let most = self.unread.len().min(into.remaining());
        let some = self.unread.split_to(most);
        into.put_slice(&some);
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for LastWord {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

#[async_trait]
impl Peek for LastWord {
    async fn try_peek(&mut self, into: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(into).await
    }
}

impl UniqueID for LastWord {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for LastWord {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for LastWord {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> std::time::Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> std::time::Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for LastWord {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for LastWord {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

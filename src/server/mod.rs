//! Listeners, connections, signals and the way out.
//!
//! Pingora's own server waits its whole grace period even when idle and cannot tell a port that the system chose; so the accept loop is
//! ours, on the one runtime that the store's driver shares, and Pingora serves each connection.

pub mod admin;

use crate::proxy::Proxy;
use crate::proxy::guard::{Deadlines, Guard};
use pingora::apps::HttpServerOptions;
use pingora::protocols::GetSocketDigest as _;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// HTTP/2 connections without a stream are closed after this long.
const H2_IDLE: Duration = Duration::from_secs(120);

/// When accepting fails (no descriptors left), the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Idle connections to apps that are kept, over all threads.
const POOL: usize = 512;

/// At most one more server is tried when one cannot be reached.
const TRIES: usize = 3;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    pub address: SocketAddr,
    /// Speak HTTP/2 by prior knowledge too. Only behind a trusted balancer.
    pub h2c: bool,
}

/// A bound listener.
struct Listening {
    listener: TcpListener,
    guard: Arc<Guard>,
}

/// Bound sockets, ready to serve.
pub struct Server {
    proxy: Proxy,
    listening: Vec<Listening>,
    addresses: Vec<SocketAddr>,
    drain: Duration,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    #[source]
    pub source: io::Error,
}

impl Server {
    /// Binds every listener. Port 0 lets the system choose; [`Server::addresses`] tells what it chose.
    pub async fn bind(proxy: Proxy, listen: &[Listen], deadlines: Deadlines, drain: Duration) -> Result<Self, BindError> {
        let (plain, h2c) = (engine(&proxy, false), engine(&proxy, true));
        let (mut listening, mut addresses) = (Vec::new(), Vec::new());
        for at in listen {
            let failed = |source| BindError { address: at.address, source };
            let listener = TcpListener::bind(at.address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            let engine = if at.h2c { h2c.clone() } else { plain.clone() };
            listening.push(Listening { listener, guard: Arc::new(Guard::new(engine, deadlines, at.h2c)) });
        }
        Ok(Server { proxy, listening, addresses, drain })
    }

    /// What is listened on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` resolves, then drains: no new connections, idle ones close at once, running requests finish within the
    /// configured bound. Returns as soon as nothing is under way.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, watch) = watch::channel(false);
        let guards: Vec<Arc<Guard>> = self.listening.iter().map(|listening| listening.guard.clone()).collect();
        for listening in self.listening {
            tokio::spawn(accept(listening, watch.clone()));
        }
        stop.await;
        let under_way = self.proxy.in_flight();
        tracing::info!(under_way, bound_s = self.drain.as_secs(), "draining");
        // Nobody listens if no listener is left; then there is nothing to stop.
        let _ = stopping.send(true);
        for guard in guards {
            guard.cleanup().await;
        }
        let deadline = Instant::now() + self.drain;
        self.proxy.close_tunnels();
        if tokio::time::timeout_at(deadline, self.proxy.drained()).await.is_err() {
            tracing::warn!(cut = self.proxy.in_flight(), "the drain bound is over; the rest is cut off");
        }
    }
}

fn engine(proxy: &Proxy, h2c: bool) -> Arc<HttpProxy<Proxy>> {
    let conf = ServerConf { upstream_keepalive_pool_size: POOL, max_retries: TRIES, ..ServerConf::default() };
    let mut engine = http_proxy(&Arc::new(conf), proxy.clone());
    let mut options = HttpServerOptions::default();
    options.h2c = h2c;
    options.h2_idle_timeout = Some(H2_IDLE);
    engine.server_options = Some(options);
    Arc::new(engine)
}

async fn accept(listening: Listening, mut stop: watch::Receiver<bool>) {
    let watch = stop.clone();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            accepted = listening.listener.accept() => match accepted {
                Ok((tcp, peer)) => {
                    let (guard, watch) = (listening.guard.clone(), watch.clone());
                    let socket = tcp.as_raw_fd();
                    tokio::spawn(async move { guard.serve(stream(tcp, peer), socket, &watch).await });
                }
                Err(error) => {
                    tracing::error!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn stream(tcp: TcpStream, peer: SocketAddr) -> pingora::protocols::Stream {
    // Small answers must not wait for the client's acknowledgement; if the option cannot be set they merely do.
    let _ = tcp.set_nodelay(true);
    let mut io = Stream::from(tcp);
    let digest = SocketDigest::from_raw_fd(io.as_raw_fd());
    let _ = digest.peer_addr.set(Some(PeerAddress::Inet(peer)));
    io.set_socket_digest(digest);
    Box::new(io)
}

/// Resolves at the first SIGTERM or SIGINT. A second one ends the process at once.
pub async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(1);
    });
    Ok(())
}

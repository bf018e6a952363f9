//! Listeners, connections, signals and the way out.
//!
//! We bind the sockets, on the one runtime that the store's driver shares, and hand them to Pingora's accept loop. Pingora's own server
//! around that loop is left out: it waits its whole grace period even when idle, and cannot tell a port that the system chose.

pub mod admin;

use crate::proxy::Proxy;
use crate::proxy::guard::{Deadlines, Guard};
use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// No buffer below the protocols' own: the library's 64 KB for each connection are there for TLS's small reads, and were two thirds of what an
/// idle connection takes.
const READS: L4BufferSettings = L4BufferSettings { read: Some(0), write: None };

/// HTTP/2 connections without a stream are closed after this long.
const H2_IDLE: Duration = Duration::from_secs(120);

/// Idle connections to apps that are kept, over all threads.
const POOL: usize = 512;

/// Tries of one request beyond one for each server: connections from the pool may be dead.
const MORE_TRIES: usize = 2;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    pub address: SocketAddr,
    /// Speak HTTP/2 by prior knowledge too. Only behind a trusted balancer.
    pub h2c: bool,
}

/// Bound sockets, ready to serve.
pub struct Server {
    proxy: Proxy,
    services: Vec<Service<Guard>>,
    sockets: ListenFds,
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
    pub fn bind(proxy: Proxy, listen: &[Listen], deadlines: Deadlines, drain: Duration) -> Result<Self, BindError> {
        let (mut services, mut addresses, mut sockets) = (Vec::new(), Vec::new(), Fds::new());
        for at in listen {
            let socket = bound(at.address).map_err(|source| BindError { address: at.address, source })?;
            let address = socket.local_addr().map_err(|source| BindError { address: at.address, source })?;
            let guard = Guard::new(Arc::new(engine(&proxy, at.h2c)), deadlines, at.h2c, proxy.has_access_log());
            let mut service = Service::new(format!("listener {address}"), guard);
            service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(READS));
            // Pingora finds the socket by the address's text and owns it from then on.
            sockets.add(address.to_string(), socket.into_raw_fd());
            services.push(service);
            addresses.push(address);
        }
        Ok(Server { proxy, services, sockets: Arc::new(Mutex::new(sockets)), addresses, drain })
    }

    /// What is listened on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` resolves, then drains: no new connections, idle ones close at once, running requests finish within the
    /// configured bound. Returns as soon as nothing is under way.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, watch) = watch::channel(false);
        for mut service in self.services {
            let (sockets, watch) = (self.sockets.clone(), watch.clone());
            tokio::spawn(async move { service.start_service(Some(sockets), watch, 1).await });
        }
        stop.await;
        let under_way = self.proxy.in_flight();
        tracing::info!(under_way, bound_s = self.drain.as_secs(), "draining");
        // Nobody listens if no listener is left; then there is nothing to stop.
        let _ = stopping.send(true);
        let deadline = Instant::now() + self.drain;
        self.proxy.close_tunnels();
        if tokio::time::timeout_at(deadline, self.proxy.drained()).await.is_err() {
            tracing::warn!(cut = self.proxy.in_flight(), "the drain bound is over; the rest is cut off");
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' last minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn engine(proxy: &Proxy, h2c: bool) -> HttpProxy<Proxy> {
    let conf = ServerConf { upstream_keepalive_pool_size: POOL, max_retries: proxy.most_servers() + MORE_TRIES, ..ServerConf::default() };
    let mut engine = http_proxy(&Arc::new(conf), proxy.clone());
    let mut options = HttpServerOptions::default();
    options.h2c = h2c;
    options.h2_idle_timeout = Some(H2_IDLE);
    engine.server_options = Some(options);
    engine
}

/// Listens for SIGTERM and SIGINT from now on; resolves at the first one. A second one ends the process at once.
///
/// Called before anybody is told that the server listens: who is told may stop it at once.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            std::process::exit(1);
        });
    })
}

//! Where a request goes: the servers of an upstream, in turn or each session its own, names resolved in the background.

use super::sticky;
use pingora::upstreams::peer::HttpPeer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// Kept-alive connections to an app are given up before Node's own 5 s, lest a POST meet a closing socket.
const POOLED: Duration = Duration::from_secs(4);

/// An app that takes no bytes for this long is gone.
const WRITE: Duration = Duration::from_secs(60);

/// Names are looked up again this often.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// A name that has no address yet (its container starts later) is tried again sooner.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// One upstream: servers that are as good as each other.
pub struct Upstream {
    name: String,
    tls: bool,
    servers: Vec<Server>,
    balance: Balance,
    next: AtomicUsize,
    /// Keeps this upstream's pooled connections apart from those of others.
    group: u64,
    /// Whether names were looked up for the first time.
    looked_up: watch::Sender<bool>,
}

/// Who among several servers gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// A session's requests go to one server, as long as it is there; those without a session take turns.
    HashSession,
}

/// In which order a request asks the servers.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// As listed, beginning with this one, modulo their number.
    From(usize),
    /// The session's own.
    Own(sticky::Place),
}

struct Server {
    place: sticky::Place,
    host: String,
    port: u16,
    addresses: RwLock<Arc<[SocketAddr]>>,
}

/// A route's patience with its app.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub connect: Duration,
    pub read: Duration,
}

impl Upstream {
    /// An upstream whose servers are given by host (a name or an address) and port.
    pub fn new(name: String, tls: bool, servers: Vec<(String, u16)>, balance: Balance, group: u64) -> Self {
        let server = |(host, port): (String, u16)| {
            let fixed: Vec<SocketAddr> = host.trim_matches(['[', ']']).parse().map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
            Server { place: sticky::place(&format!("{host}:{port}")), host, port, addresses: RwLock::new(fixed.into()) }
        };
        let servers = servers.into_iter().map(server).collect();
        Upstream { name, tls, servers, balance, next: AtomicUsize::new(0), group, looked_up: watch::Sender::new(false) }
    }

    /// The name in `proxy.toml`, for the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many servers there are to try.
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// In which order a request asks the servers. It keeps its order when it tries again, so that it meets each server once, however many
    /// others ask at the same time.
    pub fn order(&self, session: Option<&str>) -> Order {
        match (self.balance, session) {
            (Balance::HashSession, Some(handle)) => Order::Own(sticky::place(handle)),
            _ => Order::From(self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The server to ask after so many could not be reached; `None` while no name of any server could be resolved.
    pub fn peer(&self, order: Order, unreached: usize, patience: Patience) -> Option<HttpPeer> {
        let (server, address) = match order {
            Order::From(turn) => self.first_known((0..self.servers.len()).map(|step| turn.wrapping_add(unreached).wrapping_add(step))),
            Order::Own(session) => self.first_known(sticky::order(session, self.servers.iter().map(|server| server.place), unreached)),
        }?;
        let mut peer = HttpPeer::new(address, self.tls, if self.tls { server.host.clone() } else { String::new() });
        peer.group_key = self.group;
        peer.options.connection_timeout = Some(patience.connect);
        peer.options.total_connection_timeout = Some(patience.connect);
        peer.options.read_timeout = Some(patience.read);
        peer.options.write_timeout = Some(WRITE);
        peer.options.idle_timeout = Some(POOLED);
        Some(peer)
    }

    fn first_known(&self, numbers: impl IntoIterator<Item = usize>) -> Option<(&Server, SocketAddr)> {
        numbers.into_iter().find_map(|number| {
            let server = self.servers.get(number % self.servers.len())?;
            Some((server, *server.read().first()?))
        })
    }

    /// The upstream's own name, for routes that do not preserve the visitor's `Host`.
    pub fn authority(&self) -> Option<String> {
        let server = self.servers.first()?;
        let default = if self.tls { 443 } else { 80 };
        let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
        Some(if server.port == default { host } else { format!("{host}:{}", server.port) })
    }

    /// Looks up the names of this upstream's servers, now and then for ever. Ends at once if all are addresses.
    pub async fn keep_resolved(self: Arc<Self>) {
        if self.servers.iter().all(Server::is_address) {
            return;
        }
        loop {
            for server in self.servers.iter().filter(|server| !server.is_address()) {
                server.resolve(&self.name).await;
            }
            self.looked_up.send_replace(true);
            let all_known = self.servers.iter().all(|server| !server.read().is_empty());
            tokio::time::sleep(if all_known { RESOLVE_EVERY } else { RESOLVE_AGAIN }).await;
        }
    }

    /// Waits until names were looked up once, so that the first requests after the start find their server. Whoever asks bounds it.
    pub async fn looked_up(&self) {
        if self.servers.iter().all(|server| server.read().is_empty()) {
            // The sender lives as long as `self`.
            let _ = self.looked_up.subscribe().wait_for(|done| *done).await;
        }
    }
}

impl Server {
    fn is_address(&self) -> bool {
        self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
    }

    fn read(&self) -> Arc<[SocketAddr]> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the old addresses if the look-up fails: a resolver that hiccups must not take an app down.
    async fn resolve(&self, upstream: &str) {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                // IPv4 first: apps on a laptop often listen on 127.0.0.1 only while `localhost` leads with ::1.
                let mut found: Vec<SocketAddr> = found.collect();
                found.sort_by_key(SocketAddr::is_ipv6);
                *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = found.into();
            }
            Err(error) => tracing::warn!(upstream, host = self.host, %error, "could not resolve an upstream's name"),
        }
    }
}

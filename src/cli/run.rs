//! `cloakroom run`: from a checked configuration to a serving process, and out again.

use super::{FAILED, FINE, WRONG, announce, assemble, desk};
use crate::clock::SystemClock;
use crate::config::{self, Config, DEMO, Mongo, StoreKind};
use crate::demo;
use crate::pages::Look;
use crate::proxy::guard::Deadlines;
use crate::proxy::{Balance, Limits, Proxy, Upstream};
use crate::random::OsEntropy;
use crate::secret::Secret;
use crate::server::{Listen, Server, admin, stop_signal};
use crate::session::Sessions;
use crate::session::keyring::Keyring;
use crate::session::store::cached::Shelf;
use crate::session::store::embedded::{Limits as EmbeddedLimits, secret_beside};
use crate::session::store::mongo::MongoSettings;
use crate::session::store::{CachedStore, EmbeddedStore, GuardedStore, MemoryStore, MongoStore, SessionStore};
use crate::telemetry;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves until a signal. Returns the exit code.
pub fn run(path: &Path, env: &dyn Fn(&str) -> Option<String>, color: bool) -> u8 {
    let config = match config::load(path, env) {
        Ok((config, warnings)) => {
            say(&warnings.render(color));
            config
        }
        Err(report) => {
            say(&format!("{}\n{}: not started\n", report.render(color), path.display()));
            return WRONG;
        }
    };
    if let Err(error) = check_roots(env) {
        return failed(error.as_ref());
    }
    let _logging = telemetry::start(config.log.level, config.log.format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = match runtime.block_on(serve(config)) {
        Ok(()) => FINE,
        Err(error) => failed(error.as_ref()),
    };
    // Connections to apps and stores end with the process; nothing is waited for that the drain has not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

/// The library that loads root certificates from these places panics if it cannot read them.
fn check_roots(env: &dyn Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let said = |name: &'static str| env(name).map(|path| (name, path));
    let file = said("SSL_CERT_FILE").map(|(name, path)| (name, std::fs::read(&path).map(drop), path));
    let dir = said("SSL_CERT_DIR").map(|(name, path)| (name, std::fs::read_dir(&path).map(drop), path));
    for (name, readable, path) in file.into_iter().chain(dir) {
        readable.map_err(|error| format!("could not read ${name}, which is \"{path}\": {error}"))?;
    }
    Ok(())
}

fn failed(error: &(dyn std::error::Error + 'static)) -> u8 {
    say(&format!("error: {error}\n"));
    FAILED
}

/// Standard error may be closed; then there is nobody to tell.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

async fn serve(config: Config) -> Result<(), Failure> {
    let (store, secrets) = open_store(&config).await?;
    let keyring = Keyring::new(&secrets).ok_or("there is no secret to sign cookies with")?;
    let sessions = Arc::new(Sessions::new(store, keyring, assemble::options(&config), Arc::new(SystemClock), Arc::new(OsEntropy)));
    let edge = assemble::edge(&config, sessions.clone());
    let look = config.login.as_ref().map_or_else(|| Look::plain().clone(), |login| desk::look(&login.page));
    let edge = match &config.login {
        Some(login) => edge.with_login(desk::open(login, &sessions).await?, look.clone()),
        None => edge,
    };
    let upstreams = upstreams(&config).await?;
    for upstream in &upstreams {
        tokio::spawn(upstream.clone().keep_resolved());
    }
    let limits = &config.server.limits;
    let idle = limits.idle.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
    let proxy =
        Proxy::new(edge, upstreams, Limits { head_bytes: limits.head_bytes, head_fields: limits.head_fields, idle }, config.log.access);
    proxy.watch_sessions();
    let for_admin = proxy.clone();
    let listen: Vec<Listen> = config.server.listen.iter().map(|at| Listen { address: at.addr, h2c: at.h2c }).collect();
    let server = Server::bind(proxy, &listen, Deadlines { head: limits.head_time, idle }, config.server.drain)?;
    let admin_at = match &config.admin {
        Some(settings) => Some(serve_admin(settings, sessions.clone(), for_admin, look).await?),
        None => None,
    };
    let stop = stop_signal()?;
    say(&announce::announcement(&config, &server, admin_at, &sessions).await);
    server.run(stop).await;
    Ok(())
}

/// The admin listener, and where it listens.
async fn serve_admin(settings: &config::Admin, sessions: Arc<Sessions>, proxy: Proxy, look: Look) -> Result<SocketAddr, Failure> {
    let listen = settings.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("could not listen on {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let gate = admin::Gate::new(settings.token.clone(), address);
    tokio::spawn(admin::serve(listener, admin::Office::new(gate, sessions, proxy, look)));
    Ok(address)
}

pub(super) async fn open_store(config: &Config) -> Result<(Arc<dyn SessionStore>, Vec<Secret>), Failure> {
    let mut secrets = config.session.secrets.clone();
    let limits = EmbeddedLimits { read: config.store.read_timeout, write: config.store.write_timeout };
    let store: Arc<dyn SessionStore> = match &config.store.kind {
        StoreKind::Embedded { path } => {
            let store = EmbeddedStore::open(path, limits)?;
            if secrets.is_empty() {
                secrets.push(
                    secret_beside(path, &OsEntropy)
                        .map_err(|error| format!("could not keep a signing secret beside {}: {error}", path.display()))?,
                );
            }
            Arc::new(store)
        }
        StoreKind::Memory => {
            if secrets.is_empty() {
                let mut bytes = [0; 32];
                crate::random::Entropy::fill(&OsEntropy, &mut bytes);
                secrets.push(Secret::new(bytes));
            }
            Arc::new(MemoryStore::default())
        }
        StoreKind::Mongo(mongo) => {
            let store = Arc::new(MongoStore::connect(mongo_settings(config, mongo)).await?);
            return Ok((in_front_of(config, store.clone(), |shelf| store.follow_changes(shelf)), secrets));
        }
    };
    if matches!(config.store.kind, StoreKind::Memory) {
        return Ok((store, secrets));
    }
    Ok((in_front_of(config, store, |shelf| shelf.stream().declare_absent()), secrets))
}

/// The circuit breaker and the cache in front of a store; `follow` sees to it that the cache hears of changes.
fn in_front_of(config: &Config, store: Arc<dyn SessionStore>, follow: impl FnOnce(&Arc<Shelf>)) -> Arc<dyn SessionStore> {
    let guarded = Arc::new(GuardedStore::new(store, Arc::new(SystemClock)));
    let Some(settings) = &config.store.cache else { return guarded };
    let cached = CachedStore::new(guarded, settings.clone(), Arc::new(SystemClock));
    follow(cached.shelf());
    Arc::new(cached)
}

fn mongo_settings(config: &Config, mongo: &Mongo) -> MongoSettings {
    MongoSettings {
        uri: mongo.uri.clone(),
        database: mongo.database.clone(),
        collection: mongo.collection.clone(),
        format: mongo.format,
        read_timeout: config.store.read_timeout,
        write_timeout: config.store.write_timeout,
        configured_max_age: config.session.cookie.max_age,
    }
}

/// Every upstream that the file names, and the demo app on a port of its own if a route wants it.
async fn upstreams(config: &Config) -> Result<Vec<Arc<Upstream>>, Failure> {
    let mut upstreams = Vec::new();
    for (group, upstream) in (1..).zip(config.upstreams.values()) {
        let balance = match upstream.balance {
            config::Balance::RoundRobin => Balance::RoundRobin,
            config::Balance::HashSession => Balance::HashSession,
        };
        let servers = upstream.servers.iter().map(|server| (server.host.clone(), server.port)).collect();
        upstreams.push(Arc::new(Upstream::new(upstream.name.clone(), upstream.tls, servers, balance, group)));
    }
    if config.routes.iter().any(|route| route.upstream == DEMO) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(demo::serve(listener));
        upstreams.push(Arc::new(Upstream::new(
            DEMO.to_owned(),
            false,
            vec![(address.ip().to_string(), address.port())],
            Balance::RoundRobin,
            0,
        )));
    }
    Ok(upstreams)
}

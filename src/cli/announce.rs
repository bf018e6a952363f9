//! The first lines that `cloakroom run` prints.

use crate::config::{Config, DEMO, StoreKind};
use crate::route::SessionUse;
use crate::server::Server;
use crate::session::Sessions;
use crate::session::store::health::StreamHealth;
use std::net::SocketAddr;
use std::time::Duration;

/// How often and how long to wait for a first word of the change stream before the start-up line is written.
const LOOKS: u32 = 25;

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What it listens on, which store, which routes, and what to try next.
pub async fn announcement(config: &Config, server: &Server, admin: Option<SocketAddr>, sessions: &Sessions) -> String {
    let mut text = format!("cloakroom {}\n", env!("CARGO_PKG_VERSION"));
    for address in server.addresses() {
        text.push_str(&format!("  listening on http://{address}\n"));
    }
    if let Some(address) = admin {
        text.push_str(&format!("  admin listening on http://{address}\n"));
    }
    let days = |length: Option<Duration>| length.map_or_else(|| "for ever".to_owned(), human);
    text.push_str(&format!(
        "  sessions in {}, {} idle, {} at most\n",
        sessions.store_description(),
        days(config.session.idle_timeout),
        days(config.session.absolute_timeout)
    ));
    text.push_str(&cache_line(config, sessions).await);
    for route in &config.routes {
        let session = match route.session {
            SessionUse::Off => ", no session",
            SessionUse::Optional => "",
            SessionUse::Required if route.require.is_some() => ", signed-in visitors who have what it requires",
            SessionUse::Required => ", signed-in visitors only",
        };
        text.push_str(&format!("  route {} -> {}{session}\n", route.name, route.upstream));
    }
    let shows_demo = config.routes.iter().any(|route| route.upstream == DEMO);
    if let (Some(address), true) = (server.addresses().first(), shows_demo) {
        text.push_str(&format!("  try it: open http://{address} in a browser; then put your own app into proxy.toml\n"));
    }
    text
}

/// How much is cached, and how old it may be. The change stream gets a moment to show whether it is there.
async fn cache_line(config: &Config, sessions: &Sessions) -> String {
    let Some(settings) = &config.store.cache else { return String::new() };
    let is_shared = matches!(config.store.kind, StoreKind::Mongo(_));
    let stream = || sessions.store_health().cache.map_or(StreamHealth::Unknown, |cache| cache.stream);
    for _ in 0..LOOKS {
        if stream() != StreamHealth::Unknown {
            break;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let ttl = human(settings.ttl);
    let age = match stream() {
        _ if !is_shared => String::new(),
        StreamHealth::Live { .. } => ", changes elsewhere are seen at once (change stream)".to_owned(),
        StreamHealth::Absent => format!(", changes elsewhere are seen after {ttl} (this MongoDB is no replica set: no change stream)"),
        StreamHealth::Unknown | StreamHealth::Broken { .. } => {
            format!(", changes elsewhere are seen after {ttl} (the change stream is not there yet)")
        }
    };
    format!("  up to {} sessions cached{age}\n", settings.sessions)
}

fn human(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = match seconds {
        _ if !length.as_millis().is_multiple_of(1000) || seconds == 0 => return format!("{} ms", length.as_millis()),
        _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

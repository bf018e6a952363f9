//! What the admin API shows, as JSON. Of a session: its handle, user, times and client; never its data, id or key.

use super::figures::Figures;
use super::hour::Totals;
use crate::clock::Timestamp;
use crate::session::store::StoreHealth;
use crate::session::store::health::{BreakerHealth, CacheHealth, StreamHealth};
use crate::session::{Device, Page};
use serde_json::{Value, json};

/// One session.
pub fn session(device: &Device) -> Value {
    let at = |moment: Option<Timestamp>| moment.and_then(Timestamp::to_iso);
    json!({
        "handle": device.handle.as_str(),
        "user": device.user,
        "created_at": at(device.created_at),
        "login_at": at(device.login_at),
        "updated_at": at(device.updated_at),
        "expires_at": at(device.expires_at),
        "client": device.client.as_ref().map(|client| json!({ "agent": client.agent, "address": client.address })),
    })
}

/// Some sessions; `next` is the cursor of those that follow.
pub fn page(page: &Page) -> Value {
    json!({
        "sessions": page.devices.iter().map(session).collect::<Vec<_>>(),
        "next": page.next.as_ref().map(|handle| handle.as_str()),
    })
}

/// The store, and what stands in front of it; what is not there is `null`.
pub fn store(description: &str, health: &StoreHealth) -> Value {
    json!({
        "store": description,
        "cache": health.cache.as_ref().map(cache),
        "stream": health.cache.as_ref().map(|cache| stream(cache.stream)),
        "breaker": health.breaker.as_ref().map(breaker),
    })
}

/// All that is counted. What is told by minute has the oldest first and ends now.
pub fn figures(figures: &Figures) -> Value {
    let Totals { sessions, requests } = figures.totals;
    let mut all = store(&figures.store, &figures.health);
    let more = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": figures.uptime.as_secs(),
        "under_way": figures.under_way,
        "open_connections": figures.open_connections,
        "touches_under_way": figures.touches_under_way,
        "sessions_kept": figures.kept,
        "since_start": {
            "requests": requests,
            "begun": sessions.begun,
            "logins": sessions.logins,
            "ended_by_visitor": sessions.left,
            "ended_by_others": sessions.revoked,
        },
        "by_minute": {
            "requests": figures.by_minute(|minute| minute.requests),
            "begun": figures.by_minute(|minute| minute.sessions.begun),
            "logins": figures.by_minute(|minute| minute.sessions.logins),
            "ended_by_visitor": figures.by_minute(|minute| minute.sessions.left),
            "ended_by_others": figures.by_minute(|minute| minute.sessions.revoked),
        },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn cache(cache: &CacheHealth) -> Value {
    json!({ "sessions": cache.entries, "bytes": cache.bytes, "gone": cache.gone, "hits": cache.hits, "misses": cache.misses })
}

fn breaker(breaker: &BreakerHealth) -> Value {
    json!({
        "open": breaker.open_for.is_some(),
        "open_ms": breaker.open_for.map(|open| open.as_millis() as u64),
        "trips": breaker.trips,
        "failures": breaker.failures,
    })
}

fn stream(stream: StreamHealth) -> Value {
    let (state, heard) = match stream {
        StreamHealth::Unknown => ("unknown", None),
        StreamHealth::Absent => ("absent", None),
        StreamHealth::Broken { last_batch } => ("broken", last_batch),
        StreamHealth::Live { last_batch } => ("live", Some(last_batch)),
    };
    json!({ "state": state, "heard_ms_ago": heard.map(|ago| ago.as_millis() as u64) })
}

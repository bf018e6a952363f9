//! What the admin API shows, as JSON. Of a session: its handle, user, times and client; never its data, id or key.

use crate::clock::Timestamp;
use crate::session::store::health::{BreakerHealth, CacheHealth, StreamHealth};
use crate::session::{Device, Page, Sessions};
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
pub fn store(sessions: &Sessions) -> Value {
    let health = sessions.store_health();
    json!({
        "store": sessions.store_description(),
        "cache": health.cache.as_ref().map(cache),
        "stream": health.cache.as_ref().map(|cache| stream(cache.stream)),
        "breaker": health.breaker.as_ref().map(breaker),
    })
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

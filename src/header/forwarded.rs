//! Who asked, as the app is told: `X-Forwarded-*` and `Forwarded` (RFC 7239), appended behind trusted proxies, else fresh.

use crate::inbound::Inbound;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The headers to set. `incoming` holds a trusted proxy's own lines; those of others are stripped by now. `stripped` is what was cut off
/// the path.
pub fn headers(inbound: &Inbound, incoming: &HeaderMap, stripped: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
    let peer = inbound.client.peer;
    let (proto, host) = (if inbound.secure { "https" } else { "http" }, inbound.host.authority());
    let node = match peer {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let element = if host.contains([':', '[']) {
        format!("for={node};host=\"{host}\";proto={proto}")
    } else {
        format!("for={node};host={host};proto={proto}")
    };
    let trusted_host = if inbound.client.peer_trusted { incoming.get(&HOST).cloned() } else { None };
    let mut set = vec![
        (FOR, appended(incoming, &FOR, &peer.to_string())),
        (PROTO, HeaderValue::from_static(proto)),
        (HOST, trusted_host.unwrap_or_else(|| value(host))),
        (FORWARDED, appended(incoming, &FORWARDED, &element)),
    ];
    set.extend(stripped.map(|prefix| (PREFIX, value(prefix))));
    set
}

fn appended(incoming: &HeaderMap, name: &HeaderName, last: &str) -> HeaderValue {
    let mut list: Vec<u8> = Vec::new();
    for line in incoming.get_all(name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).unwrap_or_else(|_| value(last))
}

/// Hosts and prefixes are visible ASCII by type and by configuration.
fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

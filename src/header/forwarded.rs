//! Who asked, as the app is told: `X-Forwarded-*` and `Forwarded` (RFC 7239), appended behind trusted proxies, else fresh.

use crate::inbound::{Inbound, address_text};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// One header as it is written, and its value.
type Line = (&'static str, HeaderValue);

/// The headers to set. `incoming` holds a trusted proxy's own lines; those of others are stripped by now. `stripped` is what was cut off
/// the path.
pub fn headers(inbound: &Inbound, incoming: &HeaderMap, stripped: Option<&str>) -> impl Iterator<Item = Line> + use<> {
    let (proto, host) = (if inbound.secure { "https" } else { "http" }, inbound.host.authority());
    let peer = address_text(inbound.client.peer).into_bytes();
    let mut element = Vec::with_capacity(32 + peer.len() + host.len());
    let quotes: &[u8] = if inbound.client.peer.is_ipv6() { b"\"" } else { b"" };
    let (open, close): (&[u8], &[u8]) = if quotes.is_empty() { (b"", b"") } else { (b"[", b"]") };
    for part in [b"for=", quotes, open, &peer, close, quotes] {
        element.extend_from_slice(part);
    }
    let quotes: &[u8] = if host.contains([':', '[']) { b"\"" } else { b"" };
    for part in [b";host=", quotes, host.as_bytes(), quotes, b";proto=", proto.as_bytes()] {
        element.extend_from_slice(part);
    }
    let trusted_host = if inbound.client.peer_trusted { incoming.get(&HOST).cloned() } else { None };
    [
        Some(("X-Forwarded-For", appended(incoming, &FOR, peer))),
        Some(("X-Forwarded-Proto", HeaderValue::from_static(proto))),
        Some(("X-Forwarded-Host", trusted_host.unwrap_or_else(|| value(host.as_bytes().to_vec())))),
        Some(("Forwarded", appended(incoming, &http::header::FORWARDED, element))),
        stripped.map(|prefix| ("X-Forwarded-Prefix", value(prefix.as_bytes().to_vec()))),
    ]
    .into_iter()
    .flatten()
}

/// Behind what a trusted proxy said already.
fn appended(incoming: &HeaderMap, name: &HeaderName, last: Vec<u8>) -> HeaderValue {
    let mut lines = incoming.get_all(name).iter().peekable();
    if lines.peek().is_none() {
        return value(last);
    }
    let mut list: Vec<u8> = Vec::new();
    for line in lines {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(&last);
    value(list)
}

/// Hosts and prefixes are visible ASCII by type and by configuration, addresses by nature.
fn value(text: Vec<u8>) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

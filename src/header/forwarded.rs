//! Who asked, as the app is told: `X-Forwarded-*` and `Forwarded` (RFC 7239), appended behind trusted proxies, else fresh.

use crate::inbound::{Inbound, address_text};
use bytes::Bytes;
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::ops::Range;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// How many headers there are to set at most.
pub const MOST: usize = 5;

/// The headers to set. `incoming` holds a trusted proxy's own lines; those of others are stripped by now. `stripped` is what was cut off
/// the path.
pub fn headers(inbound: &Inbound, incoming: &HeaderMap, stripped: Option<&str>) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let (proto, host) = (if inbound.secure { "https" } else { "http" }, inbound.host.authority());
    // One piece of memory: the address and the host stand in it for the other headers too.
    let mut element = Vec::with_capacity(64 + host.len());
    let (open, close): (&[u8], &[u8]) = if inbound.client.peer.is_ipv6() { (b"\"[", b"]\"") } else { (b"", b"") };
    let address = append(&mut element, [b"for=", open], address_text(inbound.client.peer).as_bytes());
    let quote: &[u8] = if host.contains([':', '[']) { b"\"" } else { b"" };
    let host = append(&mut element, [close, if quote.is_empty() { b";host=" } else { b";host=\"" }], host.as_bytes());
    append(&mut element, [quote, b";proto="], proto.as_bytes());
    let element = Bytes::from(element);
    // Who is not trusted has had nothing to say.
    let incoming = inbound.client.peer_trusted.then_some(incoming);
    let trusted_host = incoming.and_then(|incoming| incoming.get(&HOST).cloned());
    [
        Some((FOR, appended(incoming, &FOR, element.slice(address)))),
        Some((PROTO, HeaderValue::from_static(proto))),
        Some((HOST, trusted_host.unwrap_or_else(|| value(element.slice(host))))),
        Some((FORWARDED, appended(incoming, &FORWARDED, element))),
        stripped.map(|prefix| (PREFIX, value(Bytes::copy_from_slice(prefix.as_bytes())))),
    ]
    .into_iter()
    .flatten()
}

/// Writes, and tells where `text` stands.
fn append(out: &mut Vec<u8>, before: [&[u8]; 2], text: &[u8]) -> Range<usize> {
    before.into_iter().for_each(|part| out.extend_from_slice(part));
    let start = out.len();
    out.extend_from_slice(text);
    start..out.len()
}

/// Behind what a trusted proxy said already.
fn appended(incoming: Option<&HeaderMap>, name: &HeaderName, last: Bytes) -> HeaderValue {
    let Some(mut lines) = incoming.map(|incoming| incoming.get_all(name).iter().peekable()) else { return value(last) };
    if lines.peek().is_none() {
        return value(last);
    }
    let mut list: Vec<u8> = Vec::new();
    for line in lines {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(&last);
    value(list.into())
}

/// Hosts and prefixes are visible ASCII by type and by configuration, addresses by nature.
fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static(""))
}

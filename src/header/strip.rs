//! What goes before anything is set. In this order on every route: strip, then set.

use super::names::{Reserved, folded, is_ours};
use crate::inbound::{Inbound, Nominated, Site, UnderscoreHeaders};
use http::header::{CONNECTION, HeaderName};
use http::{HeaderMap, Version};
use std::borrow::Cow;

/// RFC 9110 section 7.6.1 and its older cousins.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What clients and careless proxies say about who and what a request is.
const HEARSAY: [&str; 16] = [
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    "x-host",
];

const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Names of a client's request that go no further.
///
/// `Connection` and, on HTTP/1, `Transfer-Encoding` stay for the server library, which needs them for the body and drops them itself.
pub fn request(headers: &HeaderMap, reserved: &Reserved, site: &Site, inbound: &Inbound) -> Vec<HeaderName> {
    let nominated = if headers.contains_key(CONNECTION) { Nominated::read(headers).names } else { Vec::new() };
    let goes = |name: &HeaderName| {
        let plain = name.as_str();
        reserved.is_reserved(name)
            || nominated.contains(name)
            // Nobody may answer it with a 100 (RFC 9110 section 10.1.1).
            || (inbound.version == Version::HTTP_10 && plain == "expect")
            || (!is_harmless(plain) && goes_by_name(plain, site, inbound))
    };
    headers.keys().filter(|name| goes(name)).cloned().collect()
}

/// Whether a name is spelled plainly and begins as no name of the lists does: most names are like this, and cost no look through them.
fn is_harmless(name: &str) -> bool {
    const LISTED: [bool; 256] = initials([&HOP_BY_HOP, &HEARSAY, &METHOD_OVERRIDES]);
    let initial = name.as_bytes().first().copied().unwrap_or_default();
    LISTED.get(usize::from(initial)) == Some(&false) && matches!(folded(name), Cow::Borrowed(_))
}

#[allow(clippy::indexing_slicing, reason = "runs at compile time, where out of bounds is an error of the build")]
const fn initials(lists: [&[&str]; 3]) -> [bool; 256] {
    let mut found = [false; 256];
    // `x-forwarded-*`, whatever the lists hold.
    found[b'x' as usize] = true;
    let mut list = 0;
    while list < lists.len() {
        let mut name = 0;
        while name < lists[list].len() {
            found[lists[list][name].as_bytes()[0] as usize] = true;
            name += 1;
        }
        list += 1;
    }
    found
}

fn goes_by_name(plain: &str, site: &Site, inbound: &Inbound) -> bool {
    let name_folded = folded(plain);
    let odd = name_folded != plain;
    (odd && plain.contains('_') && site.underscore_headers != UnderscoreHeaders::Allow)
        || (odd && is_framing(&name_folded))
        || (!inbound.client.peer_trusted && (name_folded.starts_with("x-forwarded-") || HEARSAY.contains(&name_folded.as_ref())))
        || ((site.methods_matter || inbound.preflight) && METHOD_OVERRIDES.contains(&name_folded.as_ref()))
        || (HOP_BY_HOP.contains(&plain) && !stays(plain, inbound))
}

/// Look-alikes of names that decide about framing, host or identity.
fn is_framing(folded: &str) -> bool {
    matches!(folded, "content-length" | "transfer-encoding" | "host" | "cookie" | "connection" | "upgrade" | "authorization" | "expect")
}

fn stays(name: &str, inbound: &Inbound) -> bool {
    match name {
        "connection" | "transfer-encoding" => true,
        "upgrade" => inbound.upgrade,
        // `TE: trailers` is part of HTTP/2's own hop.
        "te" => inbound.version == Version::HTTP_2,
        _ => false,
    }
}

/// Every hop-by-hop field, for a head that we write ourselves.
pub fn hop_by_hop(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.keys().filter(|name| HOP_BY_HOP.contains(&name.as_str())).cloned().collect()
}

/// Names that only Cloakroom writes.
pub fn reserved(headers: &HeaderMap, reserved: &Reserved) -> Vec<HeaderName> {
    headers.keys().filter(|name| reserved.is_reserved(name)).cloned().collect()
}

/// Names of an app's answer that go no further: hop-by-hop, nominated, and ours. `Transfer-Encoding` stays for the server library.
pub fn response(headers: &HeaderMap) -> Vec<HeaderName> {
    let nominated = if headers.contains_key(CONNECTION) { Nominated::read(headers).names } else { Vec::new() };
    let goes = |name: &HeaderName| {
        is_ours(name) || (HOP_BY_HOP.contains(&name.as_str()) && name != http::header::TRANSFER_ENCODING) || nominated.contains(name)
    };
    headers.keys().filter(|name| goes(name)).cloned().collect()
}

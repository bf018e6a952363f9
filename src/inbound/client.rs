//! Who the client is: the peer, or what trusted proxies in front of us say (RFC 7239 section 8.1).

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The client's address as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// Who the connection comes from.
    pub peer: IpAddr,
    /// Whether that is a configured proxy, whose `X-Forwarded-*` count.
    pub peer_trusted: bool,
}

impl Client {
    /// Walks `X-Forwarded-For` from the right, past trusted proxies; the first address that is none of them is the client. What is no
    /// address ends the walk.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
        let peer_trusted = is_trusted(peer);
        let mut address = peer;
        if peer_trusted {
            let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
            for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
                let Some(hop) = parse(hop.trim()) else { break };
                address = hop;
                if !is_trusted(hop) {
                    break;
                }
            }
        }
        Client { address, peer, peer_trusted }
    }
}

fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip())).map(|address| address.to_canonical())
}

/// An address as text, without the formatter for IPv4: each request writes one or two, and that took a fiftieth of it.
pub fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity(15);
    for (number, octet) in address.octets().into_iter().enumerate() {
        if number > 0 {
            text.push('.');
        }
        let digit = |digit: u8| char::from(b'0' + digit);
        if octet >= 100 {
            text.push(digit(octet / 100));
        }
        if octet >= 10 {
            text.push(digit(octet / 10 % 10));
        }
        text.push(digit(octet % 10));
    }
    text
}

/// Whether the first `X-Forwarded-Proto` is https. Only for trusted peers.
pub fn forwarded_https(headers: &HeaderMap) -> bool {
    let first = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).and_then(|value| value.split(',').next());
    first.is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        Client::of(peer.parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]).address.to_string()
    }

    proptest::proptest! {
        #[test]
        fn an_address_is_written_as_the_standard_library_writes_it(address: IpAddr) {
            proptest::prop_assert_eq!(address_text(address), address.to_string());
        }
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        assert_eq!(client("203.0.113.1", "192.0.2.1"), "203.0.113.1");
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        assert_eq!(client("10.0.0.1", "1.1.1.1, 192.0.2.1, 10.0.0.2"), "192.0.2.1");
        assert_eq!(client("10.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        assert_eq!(client("10.0.0.1", "192.0.2.1, unknown, 10.0.0.2"), "10.0.0.2");
    }
}

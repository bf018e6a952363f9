//! The request's host, read strictly (RFC 9112 section 3.2, RFC 3986 section 3.2.2).

use super::Malformed;
use std::net::Ipv6Addr;

/// A host name or address, with the port if one was given. Compares without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    authority: String,
    name_len: usize,
    port: Option<u16>,
}

impl Host {
    /// Letters, digits, `-`, `.` and `_`, or an IPv6 address in brackets; a port of digits. Nothing else: no user, blank, list or path.
    pub fn parse(raw: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(raw).map_err(|_| Malformed::Host)?.to_ascii_lowercase();
        let find = |wanted: u8| text.bytes().position(|b| b == wanted);
        let split = if text.starts_with('[') { find(b']').map(|at| at + 1) } else { Some(find(b':').unwrap_or(text.len())) };
        let (name, port) = text.split_at_checked(split.ok_or(Malformed::Host)?).ok_or(Malformed::Host)?;
        let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_reg_name(name),
        };
        let port = match port {
            "" => None,
            port => Some(
                port.strip_prefix(':')
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .ok_or(Malformed::Host)?,
            ),
        };
        // The root's dot names the same host.
        let name_len = name.strip_suffix('.').unwrap_or(name).len();
        if is_name { Ok(Host { authority: text, name_len, port }) } else { Err(Malformed::Host) }
    }

    /// Lower case, without port and without a final dot.
    pub fn name(&self) -> &str {
        self.authority.get(..self.name_len).unwrap_or(&self.authority)
    }

    /// As it was given, in lower case, with the port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

fn is_reg_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut label = 0;
    for byte in name.bytes() {
        label = match byte {
            b'.' if label > 0 => 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < 63 => label + 1,
            _ => return false,
        };
    }
    label > 0 && name.len() <= 253
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_without_case_and_port() {
        for (raw, name, port) in [
            ("App.Example.com:8080", "app.example.com", Some(8080)),
            ("localhost", "localhost", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("a.", "a", None),
            ("10.0.0.1", "10.0.0.1", None),
        ] {
            let host = Host::parse(raw.as_bytes()).unwrap();
            assert_eq!((host.name(), host.port()), (name, port));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for raw in [
            "", ":80", "a b", "a,b", "a/x", "user@a", "a:x", "a:99999", "a:", "[::1", "[x]", "é", "a\\b", "%65vil", "http://a", "a..b",
            ".a", "a:80:80",
        ] {
            assert!(Host::parse(raw.as_bytes()).is_err(), "{raw}");
        }
    }
}

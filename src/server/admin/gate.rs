//! Who may ask the admin listener what.

use crate::secret::Secret;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq as _;

/// What a caller must show.
#[derive(Clone, Debug)]
pub struct Gate {
    token: Option<Secret>,
    is_loopback: bool,
}

/// Why a caller is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Sent by a page of another site, or to a name that is not this machine's.
    Foreign,
    /// The token is missing or wrong.
    Unknown,
    /// There is no token that anybody could show.
    NoToken,
}

impl Gate {
    /// `token`: `None` closes all that asks for one.
    pub fn new(token: Option<Secret>, listen: SocketAddr) -> Self {
        // An empty token is no token.
        Gate { token: token.filter(|token| !token.expose_secret().is_empty()), is_loopback: listen.ip().is_loopback() }
    }

    /// Whether the caller may see and end sessions.
    pub fn admits(&self, headers: &HeaderMap) -> Result<(), Closed> {
        self.is_ours(headers)?;
        let Some(token) = &self.token else { return Err(Closed::NoToken) };
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else { return Err(Closed::Unknown) };
        let bearer = shown.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
        let Some((_, shown)) = bearer else { return Err(Closed::Unknown) };
        if is_the_same(shown, token) { Ok(()) } else { Err(Closed::Unknown) }
    }

    /// Whether this is the token, typed into our own form.
    pub fn admits_typed(&self, typed: &Secret) -> Result<(), Closed> {
        let Some(token) = &self.token else { return Err(Closed::NoToken) };
        if is_the_same(typed.expose_secret(), token) { Ok(()) } else { Err(Closed::Unknown) }
    }

    /// Stands for the token in what we sign, so that what was signed is worth nothing once there is another one. Never to be shown.
    pub fn token_hash(&self) -> Result<String, Closed> {
        let token = self.token.as_ref().ok_or(Closed::NoToken)?;
        Ok(Sha256::digest(token.expose_secret()).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether the caller may read how the store is doing: with the token, or, where none is set, from this machine.
    pub fn shows_health(&self, headers: &HeaderMap) -> Result<(), Closed> {
        if self.token.is_none() && self.is_loopback { self.is_ours(headers) } else { self.admits(headers) }
    }

    /// A page that a browser on this machine has open may send requests here, and may have its own name lead here.
    pub fn is_ours(&self, headers: &HeaderMap) -> Result<(), Closed> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(Ok(host)), None) = (hosts.next().map(|host| host.to_str()), hosts.next()) else { return Err(Closed::Foreign) };
        let is_foreign_origin = headers.get_all(ORIGIN).iter().any(|origin| origin.as_bytes() != format!("http://{host}").as_bytes());
        let from = headers.get(HeaderName::from_static("sec-fetch-site")).map(|from| from.as_bytes());
        let is_foreign_page = from.is_some_and(|from| from != b"same-origin" && from != b"none");
        // Elsewhere the listener may have a name that nobody told us; there a token is asked for in any case.
        let is_foreign_host = self.is_loopback && !names_this_machine(host);
        if is_foreign_origin || is_foreign_page || is_foreign_host { Err(Closed::Foreign) } else { Ok(()) }
    }
}

/// Of equal length, so that not even the token's length can be measured.
fn is_the_same(shown: &[u8], token: &Secret) -> bool {
    Sha256::digest(shown).as_slice().ct_eq(Sha256::digest(token.expose_secret()).as_slice()).into()
}

fn names_this_machine(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: Option<&str>, listen: &str, headers: &[(&'static str, &'static str)]) -> Result<(), Closed> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), axum::http::HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            });
        Gate::new(token.map(Secret::new), listen.parse().unwrap()).admits(&headers)
    }

    #[test]
    fn the_token_and_nothing_else_opens() {
        let with = |shown: &'static str| asked(Some("secret"), "127.0.0.1:9901", &[("host", "localhost:9901"), ("authorization", shown)]);

        assert_eq!([with("Bearer secret"), with("bearer secret")], [Ok(()); 2]);
        let wrong = [with("Bearer secre"), with("Bearer secret "), with("Bearer"), with("Basic secret"), with("secret"), with("")];
        assert_eq!(wrong, [Err(Closed::Unknown); 6]);
        assert_eq!(asked(None, "127.0.0.1:9901", &[("host", "localhost"), ("authorization", "Bearer ")]), Err(Closed::NoToken));
        assert_eq!(asked(Some(""), "127.0.0.1:9901", &[("host", "localhost"), ("authorization", "Bearer ")]), Err(Closed::NoToken));
    }

    #[test]
    fn pages_and_names_of_others_are_turned_away_even_with_the_token() {
        let with = |listen, more: &[(&'static str, &'static str)]| {
            asked(Some("secret"), listen, &[&[("authorization", "Bearer secret")], more].concat())
        };
        let here = "127.0.0.1:9901";

        for ours in ["127.0.0.1:9901", "localhost", "[::1]:9901", "[::1]", "LOCALHOST:1"] {
            assert_eq!(with(here, &[("host", ours)]), Ok(()), "{ours}");
        }
        for foreign in ["evil.example:9901", "127.0.0.1.evil.example", "192.0.2.7:9901", ""] {
            assert_eq!(with(here, &[("host", foreign)]), Err(Closed::Foreign), "{foreign}");
        }
        assert_eq!(with("0.0.0.0:9901", &[("host", "cloakroom.internal")]), Ok(()));
        for page in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert_eq!(with(here, &[("host", "localhost"), page]), Err(Closed::Foreign), "{page:?}");
        }
        assert_eq!(with(here, &[("host", "localhost:1"), ("origin", "http://localhost:1"), ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(with(here, &[("host", "localhost"), ("host", "localhost")]), Err(Closed::Foreign));
    }
}

//! The login's own small cookies: what a browser without a session keeps for us. The store knows nothing of them.

use super::Question;
use crate::clock::Timestamp;
use crate::session::cookie::{self, Attributes, CookieWriter, SameSite};
use http::HeaderValue;
use http::header::COOKIE;
use std::time::Duration;

/// A cookie that we set beside the session's. Over TLS its name has the prefix that keeps other hosts from planting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCookie {
    /// The login form's nonce, and for a moment the word that a login has just succeeded.
    PreSession,
    /// Who has signed in on this device before.
    Device,
}

/// Every name that these may have: never to the app, never from it.
pub const NAMES: [&str; 5] = ["cloakroom-pre", "__Host-cloakroom-pre", "cloakroom-device", "__Host-cloakroom-device", ADMIN];

/// The admin page's. Browsers know no ports: they send it to whatever else this machine's name leads to.
pub const ADMIN: &str = "cloakroom-admin";

impl OwnCookie {
    /// The first value that the browser sends, if it is short and plain.
    pub fn value(self, question: &Question<'_>) -> Option<String> {
        let lines = question.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        let value = cookie::values(lines, self.name(question.inbound.secure)).into_iter().next()?;
        let is_plain = value.len() <= 512 && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        is_plain.then_some(value)
    }

    /// The line that sets it.
    pub fn line(self, value: &str, lifetime: Duration, secure: bool, now: Timestamp) -> String {
        let attributes =
            Attributes { path: "/".to_owned(), http_only: true, secure, same_site: Some(SameSite::Lax), ..Attributes::default() };
        CookieWriter::new(self.name(secure), attributes).set(value, Some(lifetime), now)
    }

    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (OwnCookie::PreSession, true) => "__Host-cloakroom-pre",
            (OwnCookie::PreSession, false) => "cloakroom-pre",
            (OwnCookie::Device, true) => "__Host-cloakroom-device",
            (OwnCookie::Device, false) => "cloakroom-device",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_no_other_host_can_plant_them() {
        for own in [OwnCookie::PreSession, OwnCookie::Device] {
            let line = own.line("x", Duration::from_secs(60), true, Timestamp(0));

            assert!(
                line.starts_with("__Host-") && line.contains("; Path=/;") && line.contains("; HttpOnly; Secure; SameSite=Lax"),
                "{line}"
            );
            assert!(!own.line("x", Duration::from_secs(60), false, Timestamp(0)).contains("Secure"));
            assert!([true, false].iter().all(|secure| NAMES.contains(&own.name(*secure))));
        }
    }
}

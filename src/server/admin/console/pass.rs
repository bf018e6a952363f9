//! What a browser keeps instead of the token: since when, and our signature. The token is in no cookie and in no address.

use crate::clock::Timestamp;
use crate::endpoint::own_cookie::ADMIN;
use crate::random::{Entropy as _, OsEntropy};
use crate::server::admin::gate::{Closed, Gate};
use crate::session::cookie::{self, Attributes, CookieWriter, SameSite};
use crate::session::keyring::Keyring;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const PURPOSE: &str = "admin";
const FORM: &str = "admin-form";

/// A working day.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);

/// Whoever has shown the token in this browser.
pub struct Pass {
    id: String,
    since: Timestamp,
}

/// Passes that were handed back before their time.
#[derive(Default)]
pub struct Passes(Mutex<HashMap<String, Timestamp>>);

impl Passes {
    /// The pass that the browser shows, if it is ours, for this token, and neither over nor handed back.
    pub fn shown(&self, headers: &HeaderMap, keyring: &Keyring, gate: &Gate, now: Timestamp) -> Result<Pass, Closed> {
        let token_hash = gate.token_hash()?;
        let values = cookie::values(headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes), ADMIN);
        values.iter().find_map(|value| self.valid(value, keyring, &token_hash, now)).ok_or(Closed::Unknown)
    }

    fn valid(&self, value: &str, keyring: &Keyring, token_hash: &str, now: Timestamp) -> Option<Pass> {
        let (said, signature) = value.rsplit_once('.')?;
        let (id, since) = said.split_once('.')?;
        let since = Timestamp(i64::from_str_radix(since, 16).ok()?);
        let is_ours = keyring.is_token(PURPOSE, &format!("{said}.{token_hash}"), signature);
        let is_over = now.since(since) >= LIFETIME;
        (is_ours && !is_over && !self.lock().contains_key(id)).then(|| Pass { id: id.to_owned(), since })
    }

    /// Nobody is let in with it any more.
    pub fn hand_back(&self, pass: &Pass, now: Timestamp) {
        let mut handed_back = self.lock();
        handed_back.retain(|_, until| *until > now);
        handed_back.insert(pass.id.clone(), pass.since.plus(LIFETIME));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// For somebody who has just shown the token.
    pub fn issue(now: Timestamp) -> Self {
        let mut bytes = [0; 16];
        OsEntropy.fill(&mut bytes);
        Pass { id: URL_SAFE_NO_PAD.encode(bytes), since: now }
    }

    /// The line that makes the browser keep it. Only the page's own paths get it: browsers know no ports.
    pub fn line(&self, path: &str, keyring: &Keyring, gate: &Gate, now: Timestamp) -> Result<String, Closed> {
        let said = format!("{}.{:x}", self.id, self.since.0);
        let signature = keyring.token(PURPOSE, &format!("{said}.{}", gate.token_hash()?));
        Ok(writer(path).set(&format!("{said}.{signature}"), Some(LIFETIME), now))
    }

    /// Proves to a POST that the form was ours, in this browser.
    pub fn proof(&self, keyring: &Keyring) -> String {
        keyring.token(FORM, &self.id)
    }

    /// Whether this is the [`Pass::proof`].
    pub fn is_proof(&self, keyring: &Keyring, said: &str) -> bool {
        keyring.is_token(FORM, &self.id, said)
    }
}

/// The line that takes it away.
pub fn clearing_line(path: &str) -> String {
    writer(path).clear()
}

fn writer(path: &str) -> CookieWriter {
    // Not `Secure`: this listener speaks plain HTTP, on the loopback address or behind a tunnel.
    let attributes = Attributes { path: path.to_owned(), http_only: true, same_site: Some(SameSite::Strict), ..Attributes::default() };
    CookieWriter::new(ADMIN, attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn gate(token: &str) -> Gate {
        Gate::new(Some(Secret::new(token)), "127.0.0.1:1".parse().unwrap())
    }

    fn ring(secret: &str) -> Keyring {
        Keyring::new(&[Secret::new(secret)]).unwrap()
    }

    fn headers(line: &str) -> HeaderMap {
        let value = line.split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_pass_opens_for_a_working_day_while_token_and_secret_stay() {
        let (passes, key, token) = (Passes::default(), ring("k"), gate("token"));
        let line = Pass::issue(NOW).line("/console", &key, &token, NOW).unwrap();
        let shown = headers(&line);
        let opens = |key: &Keyring, gate: &Gate, seconds| passes.shown(&shown, key, gate, NOW.plus(Duration::from_secs(seconds))).is_ok();

        assert!(line.contains("; Path=/console") && line.contains("; HttpOnly") && line.contains("; SameSite=Strict"), "{line}");
        assert!(opens(&key, &token, 0) && opens(&key, &token, 8 * 3600 - 1));
        assert!(!opens(&key, &token, 8 * 3600) && !opens(&ring("other"), &token, 0) && !opens(&key, &gate("other"), 0));
        let moved = line.replacen(&format!(".{:x}.", NOW.0), &format!(".{:x}.", NOW.0 + 1), 1);
        assert!(passes.shown(&headers(&moved), &key, &token, NOW).is_err());
    }

    #[test]
    fn a_pass_that_was_handed_back_opens_no_more_wherever_it_was_copied_to() {
        let (passes, key, token) = (Passes::default(), ring("k"), gate("token"));
        let pass = Pass::issue(NOW);
        let shown = headers(&pass.line("/console", &key, &token, NOW).unwrap());

        passes.hand_back(&pass, NOW);

        assert!(matches!(passes.shown(&shown, &key, &token, NOW), Err(Closed::Unknown)));
    }

    #[test]
    fn a_form_is_good_in_its_own_browser_only() {
        let (key, ada, bob) = (ring("k"), Pass::issue(NOW), Pass::issue(NOW));

        assert!(ada.is_proof(&key, &ada.proof(&key)));
        assert!(!ada.is_proof(&key, &bob.proof(&key)) && !ada.is_proof(&key, ""));
    }
}

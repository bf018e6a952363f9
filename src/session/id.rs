//! The three names of a session: the id (the cookie's secret), the key (what the store sees), the handle (what the app sees).

use crate::random::Entropy;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;

/// The secret in a visitor's cookie. Never logged, never sent to an app, never adopted from a client without its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// A fresh id: 24 random bytes as 32 characters of URL-safe base64, express-session's own form (uid-safe).
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 24];
        entropy.fill(&mut bytes);
        SessionId(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// An id that a rightly signed cookie carried: any non-empty text, because Node apps may have made it (`genid`).
    pub(crate) fn verified(text: String) -> Self {
        SessionId(text)
    }

    /// The text to sign and to put into a cookie.
    pub(crate) fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// How a session id becomes the store's key (`id_hash`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdHash {
    /// Lower-case hex SHA-256 of the id: a stolen database opens no session. In Node: one line of connect-mongo's `transformId`.
    Sha256,
    /// The id itself, as connect-mongo stores it by default.
    None,
}

/// The store's key of a session. Prints as a short hash, because with [`IdHash::None`] it is the id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(String);

impl SessionKey {
    /// The key of this id.
    pub fn of(id: &SessionId, hash: IdHash) -> Self {
        match hash {
            IdHash::Sha256 => SessionKey(hex(&Sha256::digest(id.expose_secret()))),
            IdHash::None => SessionKey(id.expose_secret().to_owned()),
        }
    }

    /// A key read back from a store.
    pub fn stored(text: String) -> Self {
        SessionKey(text)
    }

    /// The text that the store files the record under.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Eight hex digits that name this key in logs and reveal nothing.
    pub fn short_hash(&self) -> String {
        hex(Sha256::digest(&self.0).as_slice().get(..4).unwrap_or_default())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", self.short_hash())
    }
}

/// The session's public name: 128 bits as 32 hex digits. Apps log it and key their own data by it; it opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(String);

impl Handle {
    /// A handle for a new session.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Handle(hex(&bytes))
    }

    /// The handle of a record that a Node app wrote: SHA-256 over a fixed prefix and the id, cut to 128 bits.
    /// It is the same on every proxy until the next write stores it.
    pub fn derived(id: &SessionId) -> Self {
        let digest = Sha256::new().chain_update(b"cloakroom handle\0").chain_update(id.expose_secret()).finalize();
        Handle(hex(digest.as_slice().get(..16).unwrap_or_default()))
    }

    /// A handle read back from a store or given by an operator.
    pub fn stored(text: String) -> Self {
        Handle(text)
    }

    /// The text an app receives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let text = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes of exactly so much lower-case hex.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    // All of them without a way out between, and no table, so that many digits are looked at at once.
    let is_digit = |digit: u8| digit.is_ascii_digit() | (digit.wrapping_sub(b'a') < 6);
    let value = |digit: u8| (digit & 15) + 9 * (digit >> 6);
    let are_digits = pairs.iter().fold(true, |all, [high, low]| all & is_digit(*high) & is_digit(*low));
    are_digits.then(|| pairs.map(|[high, low]| value(high) << 4 | value(low)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsEntropy;
    use std::collections::HashSet;

    #[test]
    fn a_fresh_id_is_32_characters_of_url_safe_base64() {
        let id = SessionId::generate(&OsEntropy);

        assert!(id.0.len() == 32 && id.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{}", id.0);
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids: HashSet<String> = (0..100_000).map(|_| SessionId::generate(&OsEntropy).0).collect();

        assert_eq!(ids.len(), 100_000);
    }

    #[test]
    fn neither_id_nor_key_can_be_printed() {
        let id = SessionId::verified("apple".into());
        let key = SessionKey::of(&id, IdHash::None);

        assert!(!format!("{id:?} {key:?}").contains("apple"));
    }

    proptest::proptest! {
        #[test]
        fn hex_is_read_back_and_nothing_else_is(bytes: [u8; 16], text in "[0-9a-g@`/:G\u{e9}]{31,33}") {
            proptest::prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
            proptest::prop_assert!(unhex::<15>(&hex(&bytes)).is_none());
            proptest::prop_assert!(unhex::<16>(&text).is_none_or(|bytes| hex(&bytes) == text));
        }
    }

    #[test]
    fn the_key_is_the_sha256_of_the_id() {
        let key = SessionKey::of(&SessionId::verified("apple".into()), IdHash::Sha256);

        assert_eq!(key.as_str(), "3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b");
    }
}

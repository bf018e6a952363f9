//! Signing and verifying: the first secret signs, all verify (cookie-signature's format: HMAC-SHA256, base64 without padding).

use super::id::{SessionId, hex};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

type HmacSha256 = Hmac<Sha256>;

/// The signing keys, prepared once: each signature clones a keyed state instead of hashing the key again.
#[derive(Clone)]
pub struct Keyring {
    signer: HmacSha256,
    retired: Vec<HmacSha256>,
}

/// An id whose signature is right.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The id.
    pub id: SessionId,
    /// Whether the first secret signed it; if not, the cookie is to be signed anew.
    pub is_current: bool,
}

impl Keyring {
    /// `None` without a secret. Any length is a key for HMAC (RFC 2104).
    pub fn new(secrets: &[Secret]) -> Option<Self> {
        let mut keys = secrets.iter().filter_map(|secret| HmacSha256::new_from_slice(secret.expose_secret()).ok());
        Some(Keyring { signer: keys.next()?, retired: keys.collect() })
    }

    /// The cookie's value, not yet percent-encoded: `s:` id `.` signature.
    pub fn sign(&self, id: &SessionId) -> String {
        let id = id.expose_secret();
        let signature = signature(&self.signer, id.as_bytes());
        let mut value = String::with_capacity(id.len() + 3 + signature.len());
        value.push_str("s:");
        value.push_str(id);
        value.push('.');
        value.extend(signature.iter().map(|b| char::from(*b)));
        value
    }

    /// The id in a cookie's value, if one of the secrets signed it. Costs no store access; compares in constant time.
    pub fn verify(&self, value: &str) -> Option<Verified> {
        let (id, signed) = value.strip_prefix("s:")?.rsplit_once('.')?;
        if id.is_empty() {
            return None;
        }
        let matches = |key: &HmacSha256| bool::from(signature(key, id.as_bytes()).as_slice().ct_eq(signed.as_bytes()));
        let is_current = matches(&self.signer);
        (is_current || self.retired.iter().any(matches)).then(|| Verified { id: SessionId::verified(id.to_owned()), is_current })
    }

    /// A token that only this keyring can have made for `purpose` and `about`, for forms without a stored record.
    pub fn token(&self, purpose: &str, about: &str) -> String {
        token(&self.signer, purpose, about)
    }

    /// Whether [`Keyring::token`] made this token, with the first secret or a retired one; in constant time.
    pub fn is_token(&self, purpose: &str, about: &str, said: &str) -> bool {
        let matches = |key: &HmacSha256| bool::from(token(key, purpose, about).as_bytes().ct_eq(said.as_bytes()));
        matches(&self.signer) || self.retired.iter().any(matches)
    }
}

fn token(key: &HmacSha256, purpose: &str, about: &str) -> String {
    let mac = key.clone().chain_update(b"token\0").chain_update(purpose).chain_update(b"\0").chain_update(about);
    hex(&mac.finalize().into_bytes())
}

/// 32 bytes of HMAC are 43 characters of base64.
fn signature(key: &HmacSha256, id: &[u8]) -> [u8; 43] {
    let mac = key.clone().chain_update(id).finalize().into_bytes();
    let mut text = [0; 43];
    // The buffer has the exact size, so this cannot fail; a signature of zeros would match no cookie.
    let _ = STANDARD_NO_PAD.encode_slice(mac, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(secrets: &[&str]) -> Keyring {
        Keyring::new(&secrets.iter().map(|s| Secret::new(*s)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_signature_is_the_one_that_express_session_makes() {
        assert_eq!(
            ring(&["keyboard cat"]).sign(&SessionId::verified("apple".into())),
            "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU"
        );
    }

    #[test]
    fn the_first_secret_signs_and_all_verify() {
        let old = ring(&["old"]).sign(&SessionId::verified("x".into()));

        let rotated = ring(&["new", "old"]);

        assert!(rotated.verify(&old).is_some_and(|v| !v.is_current));
        assert!(rotated.verify(&rotated.sign(&SessionId::verified("x".into()))).is_some_and(|v| v.is_current));
        assert!(ring(&["new"]).verify(&old).is_none());
    }

    #[test]
    fn a_value_that_is_not_exactly_the_signed_one_is_refused() {
        let ring = ring(&["keyboard cat"]);
        let good = "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU";
        assert!(ring.verify(good).is_some());

        for bad in [
            &good[2..],
            &format!("{good}="),
            &good[..good.len() - 1],
            &good.replace('+', "-"),
            &good.replace("apple", "bpple"),
            "s:.x",
            "s:",
            "s:apple",
            "S:apple.x",
            "",
        ] {
            assert!(ring.verify(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_bound_to_its_purpose_and_subject() {
        let ring = ring(&["k"]);
        let token = ring.token("logout", "handle");

        assert!(ring.is_token("logout", "handle", &token));
        assert!(!ring.is_token("login", "handle", &token) && !ring.is_token("logout", "other", &token));
        assert!(Keyring::new(&[Secret::new("new"), Secret::new("k")]).unwrap().is_token("logout", "handle", &token));
    }

    #[test]
    fn no_secret_is_no_keyring() {
        assert!(Keyring::new(&[]).is_none());
    }
}

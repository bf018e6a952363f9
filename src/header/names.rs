//! Which header names are ours, in every spelling that a CGI-like stack folds together.

use http::HeaderName;
use std::borrow::Cow;
use std::collections::HashSet;

/// Every name that only Cloakroom may write: the `X-Session-` prefix, and what `headers.set` uses anywhere in the file.
#[derive(Clone, Debug, Default)]
pub struct Reserved(HashSet<String>);

impl Reserved {
    /// `set` are the names of all `headers.set`, in any spelling.
    pub fn new(set: impl Iterator<Item = String>) -> Self {
        Reserved(set.map(|name| folded(&name.to_ascii_lowercase()).into_owned()).collect())
    }

    /// Whether a client's or an app's field of this name is ours.
    pub fn is_reserved(&self, name: &HeaderName) -> bool {
        is_ours(name) || (!self.0.is_empty() && self.0.contains(folded(name.as_str()).as_ref()))
    }
}

/// Whether a name has our prefix once it is folded. Every header of every message is asked, so nothing is folded for it.
pub fn is_ours(name: &HeaderName) -> bool {
    let odd = |b: &u8| !b.is_ascii_alphanumeric();
    matches!(name.as_str().as_bytes(), [b'x', first, b's', b'e', b's', b's', b'i', b'o', b'n', second, ..] if odd(first) && odd(second))
}

/// A lower-case name with everything but letters and digits as `-`: what `HTTP_X_SESSION_USER` may have been.
pub fn folded(name: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if name.bytes().all(plain) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect())
}

/// The header of a top-level field: ASCII letters, digits and `_`, beginning with a letter. `None` if the name has no header, or if the
/// header would be one of ours. `buffer` is room to write in.
pub fn of_field(field: &str, buffer: &mut Vec<u8>) -> Option<HeaderName> {
    const PREFIX: &[u8] = b"x-session-";
    const OURS: [&[u8]; 10] = [b"user", b"data", b"handle", b"expires-in", b"overflow", b"set", b"login", b"renew", b"max-age", b"end"];
    let plain = field.starts_with(|c: char| c.is_ascii_alphabetic()) && field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain {
        return None;
    }
    buffer.clear();
    buffer.extend_from_slice(PREFIX);
    buffer.extend(field.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }));
    let is_ours = buffer.get(PREFIX.len()..).is_some_and(|suffix| OURS.contains(&suffix));
    if is_ours { None } else { HeaderName::from_lowercase(buffer).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> HeaderName {
        HeaderName::from_bytes(name.as_bytes()).unwrap()
    }

    #[test]
    fn our_names_are_known_in_every_spelling() {
        let reserved = Reserved::new(["X-Auth-User".to_owned()].into_iter());

        for ours in [
            "X-Session-User",
            "x_session_user",
            "X.Session-Anything",
            "X-SESSION_",
            "x-auth-user",
            "X_Auth_User",
            "X.AUTH.USER",
            "x#auth$user",
            "x~auth|user",
        ] {
            assert!(reserved.is_reserved(&name(ours)), "{ours}");
        }
        for theirs in ["x-sessio", "x-session", "x-auth", "x-auth-user2", "cookie"] {
            assert!(!reserved.is_reserved(&name(theirs)), "{theirs}");
        }
    }

    #[test]
    fn a_field_has_a_header_unless_it_would_be_one_of_ours() {
        let header = |field: &str| of_field(field, &mut Vec::new());
        assert_eq!(header("cart_id").unwrap(), "x-session-cart-id");
        assert_eq!(header("userInfo2").unwrap(), "x-session-userinfo2");
        for none in ["", "1a", "_a", "a-b", "a b", "é", "user", "USER", "Max_Age", "expires_in", "data", "overflow"] {
            assert_eq!(header(none), None, "{none}");
        }
    }
}

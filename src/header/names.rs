//! Which header names are ours, in every spelling that a CGI-like stack folds together.

use http::HeaderName;
use std::borrow::Cow;
use std::collections::HashSet;

/// Every name that only Cloakroom may write: the `X-Session-` prefix, and what `headers.set` uses anywhere in the file.
#[derive(Clone, Debug, Default)]
pub struct Reserved(HashSet<String>);

/// Our prefix, folded.
const PREFIX: &str = "x-session-";

impl Reserved {
    /// `set` are the names of all `headers.set`, in any spelling.
    pub fn new(set: impl Iterator<Item = String>) -> Self {
        Reserved(set.map(|name| folded(&name.to_ascii_lowercase()).into_owned()).collect())
    }

    /// Whether a client's or an app's field of this name is ours.
    pub fn is_reserved(&self, name: &HeaderName) -> bool {
        let name = folded(name.as_str());
        name.starts_with(PREFIX) || (!self.0.is_empty() && self.0.contains(name.as_ref()))
    }
}

/// Whether a folded name has our prefix.
pub fn is_ours(name: &HeaderName) -> bool {
    folded(name.as_str()).starts_with(PREFIX)
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
/// header would be one of ours.
pub fn of_field(field: &str) -> Option<HeaderName> {
    const OURS: [&str; 10] = ["user", "data", "handle", "expires-in", "overflow", "set", "login", "renew", "max-age", "end"];
    let plain = field.starts_with(|c: char| c.is_ascii_alphabetic()) && field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain {
        return None;
    }
    let suffix = field.to_ascii_lowercase().replace('_', "-");
    if OURS.contains(&suffix.as_str()) { None } else { HeaderName::try_from(format!("{PREFIX}{suffix}")).ok() }
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
        assert_eq!(of_field("cart_id"), Some(name("x-session-cart-id")));
        assert_eq!(of_field("userInfo2"), Some(name("x-session-userinfo2")));
        for none in ["", "1a", "_a", "a-b", "a b", "é", "user", "USER", "Max_Age", "expires_in", "data", "overflow"] {
            assert_eq!(of_field(none), None, "{none}");
        }
    }
}

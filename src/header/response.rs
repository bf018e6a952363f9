//! What the app asks for in its answer (`X-Session-*`), and whether it may.

use super::names::is_ours;
use crate::route::Write;
use crate::session::data::Data;
use crate::session::{Changes, End, Patch};
use http::{HeaderMap, HeaderValue};
use std::collections::BTreeSet;
use std::time::Duration;

/// The most bytes of one `X-Session-Set`.
const MOST: usize = 8 * 1024;

/// The longest name of a user, in bytes.
const LONGEST_USER: usize = 256;

/// An answer's wishes. An end counts even if something else is malformed.
#[derive(Debug)]
pub struct Wishes {
    pub end: Option<End>,
    /// Everything; `Err` drops it all but the end.
    pub changes: Result<Changes, Malformed>,
}

/// A wish that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header} is malformed: {reason}")]
pub struct Malformed {
    header: &'static str,
    reason: String,
}

/// A wish that the route does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("the route does not let its app change the field `{0}` (write)")]
    Field(String),
    #[error("only write = \"all\" lets an app set the whole session to null")]
    Whole,
    #[error("the route does not let its app sign visitors in (login)")]
    Login,
    #[error("the route does not let its app change sessions (write, login)")]
    Any,
}

/// Whether the answer asks for anything.
pub fn asks(headers: &HeaderMap) -> bool {
    headers.keys().any(is_ours)
}

impl Wishes {
    /// Reads the headers of an answer. Unknown `X-Session-*` names ask for nothing.
    pub fn read(headers: &HeaderMap) -> Self {
        let end = match only(headers, "x-session-end") {
            Ok(Some(b"this")) => Ok(Some(End::This)),
            Ok(Some(b"all")) => Ok(Some(End::All)),
            Ok(Some(_)) => Err(malformed("X-Session-End", "it is neither `this` nor `all`")),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        Wishes { end: end.clone().unwrap_or_default(), changes: end.and_then(|end| read_changes(headers, end)) }
    }
}

fn read_changes(headers: &HeaderMap, end: Option<End>) -> Result<Changes, Malformed> {
    let renew = match only(headers, "x-session-renew")? {
        Some(b"true") => true,
        Some(_) => return Err(malformed("X-Session-Renew", "it is not `true`")),
        None => false,
    };
    let max_age = only(headers, "x-session-max-age")?
        .map(|value| seconds(value).ok_or_else(|| malformed("X-Session-Max-Age", "it is no number of seconds")))
        .transpose()?;
    let login = only(headers, "x-session-login")?
        .map(|value| user(value).ok_or_else(|| malformed("X-Session-Login", "it is no user's name")))
        .transpose()?;
    let patches = headers.get_all("x-session-set").iter().map(patch).collect::<Result<Vec<_>, _>>()?;
    Ok(Changes { end, login, renew, patches, max_age, ..Changes::default() })
}

fn malformed(header: &'static str, reason: impl Into<String>) -> Malformed {
    Malformed { header, reason: reason.into() }
}

fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(Some(value.as_bytes())),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(malformed(name, "it is given more than once")),
    }
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let text =
        std::str::from_utf8(value).ok().filter(|text| !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok().map(Duration::from_secs)
}

fn user(value: &[u8]) -> Option<String> {
    let user = percent_encoding::percent_decode(value).decode_utf8().ok()?.into_owned();
    (!user.is_empty() && user.len() <= LONGEST_USER && !user.chars().any(char::is_control)).then_some(user)
}

/// ASCII-escaped or raw UTF-8 JSON; percent-encoded if it begins with `%`.
fn patch(value: &HeaderValue) -> Result<Patch, Malformed> {
    let wrong = |reason: &str| malformed("X-Session-Set", reason);
    if value.len() > MOST {
        return Err(wrong("it is longer than 8 KiB"));
    }
    let bytes = value.as_bytes();
    let text = if bytes.starts_with(b"%") {
        percent_encoding::percent_decode(bytes).decode_utf8()
    } else {
        std::str::from_utf8(bytes).map(Into::into)
    };
    let text = text.map_err(|_| wrong("it is not UTF-8"))?;
    if text.trim() == "null" {
        return Ok(Patch::Null);
    }
    let patch = Data::parse_patch(&text).map_err(|error| wrong(&error.to_string()))?;
    if patch.json_of("cookie").is_some() {
        return Err(wrong("it names `cookie`, which is Cloakroom's own"));
    }
    Ok(Patch::Merge(patch))
}

/// Whether the route allows all of it. `protected` fields must be listed by name: `write = "all"` does not include them.
pub fn permitted(changes: &Changes, write: &Write, login: bool, protected: &BTreeSet<String>) -> Result<(), Forbidden> {
    if changes.login.is_some() && !login {
        return Err(Forbidden::Login);
    }
    if (changes.renew || changes.max_age.is_some()) && !login && *write == Write::None {
        return Err(Forbidden::Any);
    }
    for patch in &changes.patches {
        match patch {
            Patch::Null if *write != Write::All => return Err(Forbidden::Whole),
            Patch::Null => {}
            Patch::Merge(patch) => {
                for field in patch.iter() {
                    let allowed = match (write, field.name()) {
                        (Write::All, Some(name)) => !protected.contains(name),
                        (Write::All, None) => true,
                        (Write::Fields(fields), Some(name)) => fields.contains(name),
                        (Write::Fields(_), None) | (Write::None, _) => false,
                    };
                    if !allowed {
                        return Err(Forbidden::Field(field.name().unwrap_or_default().to_owned()));
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn changes(fields: &[(&'static str, &str)]) -> Result<Changes, Malformed> {
        Wishes::read(&headers(fields)).changes
    }

    #[test]
    fn all_spellings_of_a_patch_are_read() {
        let wanted = Patch::Merge(Data::parse(r#"{"a":"你"}"#).unwrap());
        for value in [r#"{"a":"你"}"#, "%7B%22a%22:%22%E4%BD%A0%22%7D"] {
            assert_eq!(changes(&[("x-session-set", value)]).unwrap().patches, std::slice::from_ref(&wanted));
        }
        assert_eq!(changes(&[("x-session-set", "null")]).unwrap().patches, [Patch::Null]);
    }

    #[test]
    fn one_malformed_wish_drops_all_but_the_end() {
        for bad in [
            ("x-session-set", "{bad"),
            ("x-session-set", "[1]"),
            ("x-session-set", r#"{"cookie":{}}"#),
            ("x-session-max-age", "-1"),
            ("x-session-max-age", "1e3"),
            ("x-session-renew", "yes"),
            ("x-session-login", ""),
            ("x-session-login", "a%00b"),
            ("x-session-login", "%ff"),
        ] {
            let wishes = Wishes::read(&headers(&[("x-session-end", "this"), bad]));
            assert!(wishes.changes.is_err() && wishes.end == Some(End::This), "{bad:?}");
        }
        assert!(changes(&[("x-session-login", "a"), ("x-session-login", "b")]).is_err());
    }

    #[test]
    fn fields_need_their_permission() {
        let asked = changes(&[("x-session-set", r#"{"cart":1,"role":2}"#)]).unwrap();
        let listed = |names: &[&str]| Write::Fields(names.iter().map(|n| (*n).to_owned()).collect());
        let protected = BTreeSet::from(["role".to_owned()]);

        assert!(permitted(&asked, &listed(&["cart", "role"]), false, &protected).is_ok());
        assert_eq!(permitted(&asked, &listed(&["cart"]), true, &protected), Err(Forbidden::Field("role".into())));
        assert_eq!(permitted(&asked, &Write::All, true, &protected), Err(Forbidden::Field("role".into())));
        assert!(permitted(&asked, &Write::All, false, &BTreeSet::new()).is_ok());
        assert_eq!(permitted(&asked, &Write::None, true, &protected), Err(Forbidden::Field("cart".into())));
    }

    #[test]
    fn login_renewal_and_null_need_theirs() {
        let none = BTreeSet::new();
        let login = changes(&[("x-session-login", "a")]).unwrap();
        let renew = changes(&[("x-session-renew", "true")]).unwrap();
        let null = changes(&[("x-session-set", "null")]).unwrap();

        assert_eq!(permitted(&login, &Write::All, false, &none), Err(Forbidden::Login));
        assert!(permitted(&renew, &Write::None, true, &none).is_ok());
        assert_eq!(permitted(&renew, &Write::None, false, &none), Err(Forbidden::Any));
        assert_eq!(permitted(&null, &Write::Fields(BTreeSet::new()), true, &none), Err(Forbidden::Whole));
    }
}

//! express-session's stored text: `{"cookie":{…},"field":…}`, as `JSON.stringify` would write it.

use super::super::cookie::Attributes;
use super::super::record::{Data, StoredCookie};
use crate::clock::Timestamp;
use serde_json::Value;
use std::fmt::Write as _;

/// Reads the stored text. The reason, if it is no session.
///
/// Only `originalMaxAge` and `expires` of the cookie are believed; odd values count as missing.
pub fn parse(text: &str) -> Result<(StoredCookie, Data), String> {
    let mut data = Data::parse(text).map_err(|error| error.to_string())?;
    let cookie = data.take("cookie").and_then(|json| serde_json::from_str::<Value>(&json).ok()).unwrap_or_default();
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).or_else(|| Some(value.as_f64()? as i64));
    let original_max_age = cookie.get("originalMaxAge").and_then(number);
    let expires = cookie.get("expires").and_then(Value::as_str).and_then(Timestamp::from_iso);
    Ok((StoredCookie { original_max_age, expires, attributes: Attributes::default() }, data))
}

/// Writes the text, the cookie's keys in express-session's order and absent ones left out.
pub fn write(cookie: &StoredCookie, data: &Data) -> String {
    let mut text = String::with_capacity(data.size() + 192);
    text.push_str("{\"cookie\":{");
    for (name, value) in cookie_members(cookie) {
        if value.is_null() && !matches!(name, "originalMaxAge" | "expires") {
            continue;
        }
        if !text.ends_with('{') {
            text.push(',');
        }
        // Writing to text cannot fail.
        let _ = write!(text, "\"{name}\":{value}");
    }
    text.push('}');
    if !data.is_empty() {
        text.push(',');
        data.write_members(&mut text);
    }
    text.push('}');
    text
}

/// The cookie object's nine keys in express-session's order; absent ones are null.
pub fn cookie_members(cookie: &StoredCookie) -> [(&'static str, Value); 9] {
    let Attributes { domain, path, http_only, secure, partitioned, priority, same_site } = &cookie.attributes;
    let flag = |on: bool| if on { Value::Bool(true) } else { Value::Null };
    [
        ("originalMaxAge", cookie.original_max_age.map_or(Value::Null, Value::from)),
        ("partitioned", flag(*partitioned)),
        ("priority", priority.map_or(Value::Null, |p| p.as_str().to_lowercase().into())),
        ("expires", cookie.expires.and_then(Timestamp::to_iso).map_or(Value::Null, Value::from)),
        ("secure", flag(*secure)),
        ("httpOnly", Value::Bool(*http_only)),
        ("domain", domain.as_deref().map_or(Value::Null, Value::from)),
        ("path", Value::from(path.as_str())),
        ("sameSite", same_site.map_or(Value::Null, |s| s.as_str().to_lowercase().into())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_text_is_the_one_that_express_session_writes() {
        let cookie = StoredCookie {
            attributes: Attributes { path: "/".into(), http_only: true, ..Attributes::default() },
            ..StoredCookie::default()
        };

        let text = write(&cookie, &Data::parse(r#"{"userinfo":"admin"}"#).unwrap());

        assert_eq!(text, r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"userinfo":"admin"}"#);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cookie =
            StoredCookie { original_max_age: Some(60_000), expires: Some(Timestamp(1_700_000_000_123)), attributes: Attributes::default() };
        let data = Data::parse(r#"{"a":[1.0,"\ud83d"]}"#).unwrap();

        assert_eq!(parse(&write(&cookie, &data)).unwrap(), (cookie, data));
    }

    #[test]
    fn a_session_without_cookie_or_with_an_odd_one_is_readable() {
        for text in [
            r#"{"k":"v"}"#,
            r#"{"cookie":null,"k":"v"}"#,
            r#"{"cookie":{},"k":"v"}"#,
            r#"{"cookie":{"expires":"garbage","originalMaxAge":{}},"k":"v"}"#,
        ] {
            assert_eq!(parse(text).unwrap(), (StoredCookie::default(), Data::parse(r#"{"k":"v"}"#).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_unreadable() {
        for text in ["null", "[1]", "{bad", "\u{feff}{}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

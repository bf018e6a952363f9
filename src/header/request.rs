//! What the app is told about a session.

use super::encode;
use super::names;
use crate::route::{Encoding, Fields, HeaderSettings, Overflow, Place};
use crate::session::record::{Data, Field};
use bytes::Bytes;
use http::HeaderValue;
use std::borrow::Cow;

const HANDLE: &[u8] = b"X-Session-Handle";
const USER: &[u8] = b"X-Session-User";
const DATA: &[u8] = b"X-Session-Data";
const EXPIRES_IN: &[u8] = b"X-Session-Expires-In";
const OVERFLOW: &[u8] = b"X-Session-Overflow";

/// Stands where a value is visible ASCII by nature.
const EMPTY: HeaderValue = HeaderValue::from_static("");

/// The longest list of dropped names.
const MOST_NAMED: usize = 512;

/// A session as an app may see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub handle: &'a str,
    pub user: Option<&'a str>,
    pub data: &'a Data,
    /// Seconds; `None`: never.
    pub expires_in: Option<u64>,
}

/// The headers of one request.
#[derive(Clone, Debug, Default)]
pub struct Dressed {
    /// Names as they are written: the server library keeps a name's case, and a ready name costs it no copy.
    pub headers: Vec<(Bytes, HeaderValue)>,
    /// Whose they are, for the log and for what must end with the session.
    pub handle: Option<String>,
    pub user: Option<String>,
}

/// The session does not fit, and the route wants an error then.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the session's headers take {size} bytes, more than [headers] max_bytes = {most}")]
pub struct TooLarge {
    size: usize,
    most: usize,
}

/// Writes a route's headers.
#[derive(Clone, Copy, Debug)]
pub struct Dresser<'a>(&'a HeaderSettings);

/// What goes first when there is too much; within one rank the longest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Data,
    Structure,
    Text,
    Never,
}

type Lines = Vec<(Rank, Bytes, HeaderValue)>;

impl<'a> Dresser<'a> {
    /// As the route wants it.
    pub fn new(settings: &'a HeaderSettings) -> Self {
        Dresser(settings)
    }

    /// The headers for this session.
    pub fn dress(&self, view: &View<'_>) -> Result<Dressed, TooLarge> {
        let mut headers = Lines::with_capacity(8);
        headers.push((Rank::Never, Bytes::from_static(HANDLE), encode::text(view.handle, Encoding::Percent).unwrap_or(EMPTY)));
        if let Some(user) = view.user.and_then(|user| self.text(user, USER)) {
            headers.push((Rank::Never, Bytes::from_static(USER), user));
        }
        headers.push((Rank::Data, Bytes::from_static(DATA), data_header(view.data)));
        let first_field = headers.len();
        self.push_fields(view.data, &mut headers, first_field);
        if let Some(seconds) = view.expires_in {
            headers.push((Rank::Never, Bytes::from_static(EXPIRES_IN), HeaderValue::from(seconds)));
        }
        for (name, template) in &self.0.set {
            if let Some(value) = template.fill(|place| value_of(place, view)).and_then(|text| self.text(&text, name)) {
                headers.push((Rank::Text, name.clone(), value));
            }
        }
        let headers = self.fit(headers)?;
        Ok(Dressed { headers, handle: Some(view.handle.to_owned()), user: view.user.map(str::to_owned) })
    }

    /// A header that the encoding cannot carry is left out: changed, it might name somebody else.
    fn text(&self, text: &str, name: &[u8]) -> Option<HeaderValue> {
        let value = encode::text(text, self.0.encoding);
        if value.is_none() {
            let (header, encoding) = (String::from_utf8_lossy(name), self.0.encoding);
            tracing::warn!(%header, ?encoding, "a value cannot be written in this encoding; its header is left out");
        }
        value
    }

    /// Two fields that would share a header get none.
    fn push_fields(&self, data: &Data, headers: &mut Lines, first: usize) {
        let mut shared: Vec<Bytes> = Vec::new();
        for field in data.iter() {
            let Some(name) = field.name().filter(|name| self.shows(name)).and_then(names::of_field) else { continue };
            let Some((rank, value)) = self.field_value(field, &name) else { continue };
            if headers.iter().skip(first).any(|(_, other, _)| *other == name) {
                shared.push(name);
            } else {
                headers.push((rank, name, value));
            }
        }
        if !shared.is_empty() {
            tracing::warn!(?shared, "session fields that would share a header get none");
            headers.retain(|(_, name, _)| !shared.contains(name));
        }
    }

    fn shows(&self, field: &str) -> bool {
        match &self.0.fields {
            Fields::All => true,
            Fields::None => false,
            Fields::Only(names) => names.contains(field),
        }
    }

    fn field_value(&self, field: &Field, name: &[u8]) -> Option<(Rank, HeaderValue)> {
        match field.json().as_bytes().first()? {
            b'n' => None,
            b'{' | b'[' => Some((Rank::Structure, encode::json(field.json().to_owned()))),
            b'"' => Some((Rank::Text, self.text(&text_of(field.json()), name)?)),
            _ => Some((Rank::Text, encode::json(field.json().to_owned()))),
        }
    }

    /// Drops what does not fit, and names it.
    fn fit(&self, mut headers: Lines) -> Result<Vec<(Bytes, HeaderValue)>, TooLarge> {
        let size = |headers: &Lines| headers.iter().map(|(_, name, value)| name.len() + value.len() + 4).sum::<usize>();
        let total = size(&headers);
        if total > self.0.max_bytes {
            if self.0.overflow == Overflow::Error {
                return Err(TooLarge { size: total, most: self.0.max_bytes });
            }
            let mut named = String::new();
            while size(&headers) + OVERFLOW.len() + named.len() + 4 > self.0.max_bytes {
                let droppable = headers.iter().enumerate().filter(|(_, (rank, ..))| *rank != Rank::Never);
                let Some((at, _)) = droppable.min_by_key(|(_, (rank, _, value))| (*rank, usize::MAX - value.len())) else { break };
                let (_, name, _) = headers.remove(at);
                if named.len() + name.len() + 2 <= MOST_NAMED {
                    named.push_str(if named.is_empty() { "" } else { ", " });
                    named.extend(name.iter().map(|b| char::from(b.to_ascii_lowercase())));
                }
            }
            headers.push((Rank::Never, Bytes::from_static(OVERFLOW), encode::text(&named, Encoding::Percent).unwrap_or(EMPTY)));
        }
        Ok(headers.into_iter().map(|(_, name, value)| (name, value)).collect())
    }
}

fn data_header(data: &Data) -> HeaderValue {
    if data.is_empty() { HeaderValue::from_static("{}") } else { encode::json(data.to_json()) }
}

fn value_of<'a>(place: &Place, view: &View<'a>) -> Option<Cow<'a, str>> {
    match place {
        Place::User => view.user.map(Cow::Borrowed),
        Place::Handle => Some(Cow::Borrowed(view.handle)),
        Place::Field(name) => {
            let json = view.data.json_of(name)?;
            match json.as_bytes().first()? {
                b'n' => None,
                b'"' => Some(text_of(json)),
                _ => Some(Cow::Borrowed(json)),
            }
        }
    }
}

/// The text of a JSON string. A lone surrogate, which JavaScript allows and UTF-8 does not, becomes U+FFFD.
fn text_of(json: &str) -> Cow<'_, str> {
    if let Some(plain) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|text| !text.contains('\\')) {
        return Cow::Borrowed(plain);
    }
    Cow::Owned(serde_json::from_str::<String>(json).unwrap_or_else(|_| {
        let bytes = serde_json::from_str::<SurrogateSafe>(json).map(|safe| safe.0).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }))
}

/// serde_json reads strings into bytes without refusing lone surrogates: they come as WTF-8.
struct SurrogateSafe(Vec<u8>);

impl<'de> serde::Deserialize<'de> for SurrogateSafe {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        from.deserialize_bytes(Bytes).map(SurrogateSafe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Template;

    fn settings() -> HeaderSettings {
        HeaderSettings { fields: Fields::All, encoding: Encoding::Percent, max_bytes: 8192, overflow: Overflow::Drop, set: vec![] }
    }

    fn dressed(settings: &HeaderSettings, data: &str, user: Option<&str>) -> Vec<String> {
        let data = Data::parse(data).unwrap();
        let view = View { handle: "h", user, data: &data, expires_in: Some(60) };
        let dressed = Dresser::new(settings).dress(&view).unwrap();
        dressed.headers.iter().map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_session_is_shown_field_by_field() {
        let seen =
            dressed(&settings(), r#"{"userinfo":"ad\u0000min 你","cart_id":7,"cart":["ü"],"ok":true,"none":null,"x-y":1}"#, Some("ada"));

        assert_eq!(
            seen,
            [
                "X-Session-Handle: h",
                "X-Session-User: ada",
                r#"X-Session-Data: {"userinfo":"ad\u0000min \u4f60","cart_id":7,"cart":["\u00fc"],"ok":true,"none":null,"x-y":1}"#,
                "X-Session-Userinfo: ad%00min %E4%BD%A0",
                "X-Session-Cart-Id: 7",
                r#"X-Session-Cart: ["\u00fc"]"#,
                "X-Session-Ok: true",
                "X-Session-Expires-In: 60",
            ]
        );
    }

    #[test]
    fn fields_that_would_share_a_header_get_none() {
        let seen = dressed(&settings(), r#"{"a_b":1,"A_b":2,"c":3}"#, None);

        assert_eq!(seen[2..], ["X-Session-C: 3", "X-Session-Expires-In: 60"]);
    }

    #[test]
    fn only_listed_fields_are_shown() {
        let only = HeaderSettings { fields: Fields::Only(["b".to_owned()].into()), ..settings() };

        assert_eq!(dressed(&only, r#"{"a":1,"b":2}"#, None)[2..], ["X-Session-B: 2", "X-Session-Expires-In: 60"]);
    }

    #[test]
    fn templates_are_filled_from_user_handle_and_fields() {
        let set = [("Remote-User", "{user}@{handle}"), ("X-Mail", "{field:mail}"), ("X-None", "{field:none}")];
        let set = set.map(|(name, template)| (name.into(), Template::parse(template).unwrap())).into();

        let seen = dressed(&HeaderSettings { set, ..settings() }, r#"{"mail":"é"}"#, Some("ada"));

        assert_eq!(seen[5..], ["Remote-User: ada@h", "X-Mail: %C3%A9"]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_by_rank_and_named() {
        let data = format!(r#"{{"short":"s","long":"{}","list":["{}"]}}"#, "l".repeat(60), "x".repeat(40));

        let seen = dressed(&HeaderSettings { max_bytes: 217, ..settings() }, &data, Some("ada"));

        let named = "X-Session-Overflow: x-session-data, x-session-list, x-session-long";
        assert_eq!(seen[2..], ["X-Session-Short: s", "X-Session-Expires-In: 60", named]);
    }

    #[test]
    fn overflow_error_refuses() {
        let data = Data::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(300))).unwrap();
        let strict = HeaderSettings { max_bytes: 200, overflow: Overflow::Error, ..settings() };

        assert!(Dresser::new(&strict).dress(&View { handle: "h", user: None, data: &data, expires_in: None }).is_err());
    }

    #[test]
    fn a_lone_surrogate_becomes_a_replacement_character() {
        assert_eq!(text_of(r#""a\ud83d""#), "a\u{fffd}\u{fffd}\u{fffd}");
    }
}

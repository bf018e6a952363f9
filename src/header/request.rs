//! What the app is told about a session.

use super::lines::{Line, Lines};
use super::{encode, names};
use crate::route::{Encoding, Fields, HeaderSettings, Overflow, Place};
use crate::session::record::{Data, Field};
use http::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

static HANDLE: HeaderName = HeaderName::from_static("x-session-handle");
static USER: HeaderName = HeaderName::from_static("x-session-user");
static DATA: HeaderName = HeaderName::from_static("x-session-data");
static EXPIRES_IN: HeaderName = HeaderName::from_static("x-session-expires-in");
static OVERFLOW: HeaderName = HeaderName::from_static("x-session-overflow");

/// The longest list of dropped names.
const MOST_NAMED: usize = 512;

/// What `X-Session-Expires-In` takes on the wire at most.
const EXPIRES_IN_MOST: usize = "x-session-expires-in: 18446744073709551615\r\n".len();

/// A session as an app may see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub handle: &'a str,
    pub user: Option<&'a str>,
    pub data: &'a Data,
}

/// What a session's headers say as long as the session stays as it is, on one route.
#[derive(Clone, Debug)]
pub struct Outfit {
    headers: Box<[(HeaderName, HeaderValue)]>,
    handle: Box<str>,
    user: Option<Box<str>>,
    /// Nothing had to be left out for its size.
    pub is_whole: bool,
}

/// The headers of one request; none without a session.
#[derive(Clone, Debug, Default)]
pub struct Dressed {
    outfit: Option<Arc<Outfit>>,
    expires_in: Option<HeaderValue>,
}

impl Dressed {
    /// `expires_in` in seconds; `None`: never.
    pub fn new(outfit: Arc<Outfit>, expires_in: Option<u64>) -> Self {
        Dressed { outfit: Some(outfit), expires_in: expires_in.map(HeaderValue::from) }
    }

    /// All of them, each name once.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let lasting = self.outfit.iter().flat_map(|outfit| outfit.headers.iter()).map(|(name, value)| (name, value));
        lasting.chain(self.expires_in.iter().map(|value| (&EXPIRES_IN, value)))
    }

    /// Whose they are, for the log and for what must end with the session.
    pub fn handle(&self) -> Option<&str> {
        self.outfit.as_ref().map(|outfit| outfit.handle())
    }

    /// The signed-in user.
    pub fn user(&self) -> Option<&str> {
        self.outfit.as_ref().and_then(|outfit| outfit.user())
    }
}

impl Outfit {
    /// The session's public name.
    pub fn handle(&self) -> &str {
        &self.handle
    }

    /// Its user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        const AROUND: usize = 256;
        const PER_LINE: usize = size_of::<(HeaderName, HeaderValue)>() + 48;
        AROUND + self.headers.iter().map(|(name, value)| PER_LINE + name.as_str().len() + value.len()).sum::<usize>()
    }
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

impl<'a> Dresser<'a> {
    /// As the route wants it.
    pub fn new(settings: &'a HeaderSettings) -> Self {
        Dresser(settings)
    }

    /// The headers for this session, but for when it expires.
    pub fn dress(&self, view: &View<'_>) -> Result<Outfit, TooLarge> {
        let mut lines = Lines::with_capacity(10, 256 + 3 * view.data.size());
        lines.push(Rank::Never, &HANDLE, |out| encode::text(view.handle, Encoding::Percent, out));
        if let Some(user) = view.user {
            self.push_text(Rank::Never, &USER, user, &mut lines);
        }
        lines.push(Rank::Data, &DATA, |out| encode::json(&view.data.to_json(), out));
        self.push_fields(view.data, &mut lines);
        for (name, template) in &self.0.set {
            if let Some(text) = template.fill(|place| value_of(place, view)) {
                self.push_text(Rank::Text, name, &text, &mut lines);
            }
        }
        let is_whole = self.fit(&mut lines)?;
        Ok(Outfit { headers: lines.finish(), handle: view.handle.into(), user: view.user.map(Into::into), is_whole })
    }

    /// A header that the encoding cannot carry is left out: changed, it might name somebody else.
    fn push_text(&self, rank: Rank, name: &HeaderName, text: &str, lines: &mut Lines<Rank>) -> bool {
        let encoding = self.0.encoding;
        let written = lines.push(rank, name, |out| encode::text(text, encoding, out));
        if !written {
            tracing::warn!(header = %name, ?encoding, "a value cannot be written in this encoding; its header is left out");
        }
        written
    }

    /// Two fields that would share a header get none.
    fn push_fields(&self, data: &Data, lines: &mut Lines<Rank>) {
        let first = lines.count();
        let (mut buffer, mut shared) = (Vec::with_capacity(64), Vec::new());
        for field in data.iter() {
            let shown = field.name().filter(|field| self.shows(field));
            let Some(name) = shown.and_then(|field| names::of_field(field, &mut buffer)) else { continue };
            let at = lines.count();
            if self.push_field(field, &name, lines) && lines.iter().take(at).skip(first).any(|line| line.name == name) {
                lines.remove(at);
                shared.push(name);
            }
        }
        if !shared.is_empty() {
            tracing::warn!(names = ?shared, "session fields that would share a header get none");
            lines.retain(|name| !shared.contains(name));
        }
    }

    fn push_field(&self, field: &Field, name: &HeaderName, lines: &mut Lines<Rank>) -> bool {
        let json = field.json();
        match json.as_bytes().first() {
            None | Some(b'n') => false,
            Some(b'"') => self.push_text(Rank::Text, name, &text_of(json), lines),
            Some(b'{' | b'[') => lines.push(Rank::Structure, name, |out| encode::json(json, out)),
            Some(_) => lines.push(Rank::Text, name, |out| encode::json(json, out)),
        }
    }

    fn shows(&self, field: &str) -> bool {
        match &self.0.fields {
            Fields::All => true,
            Fields::None => false,
            Fields::Only(names) => names.contains(field),
        }
    }

    /// Drops what does not fit, and names it; whether everything does.
    fn fit(&self, lines: &mut Lines<Rank>) -> Result<bool, TooLarge> {
        let size = |lines: &Lines<Rank>| EXPIRES_IN_MOST + lines.iter().map(Line::size).sum::<usize>();
        let (total, most) = (size(lines), self.0.max_bytes);
        if total <= most {
            return Ok(true);
        }
        if self.0.overflow == Overflow::Error {
            return Err(TooLarge { size: total, most });
        }
        let mut named: Vec<u8> = Vec::new();
        while size(lines) + OVERFLOW.as_str().len() + named.len() + 4 > most {
            let droppable = lines.iter().enumerate().filter(|(_, line)| line.rank != Rank::Never);
            let Some((at, _)) = droppable.min_by_key(|(_, line)| (line.rank, usize::MAX - line.value_len())) else { break };
            let line = lines.remove(at);
            let name = line.name.as_str().as_bytes();
            if named.len() + name.len() + 2 <= MOST_NAMED {
                named.extend_from_slice(if named.is_empty() { b"" } else { b", " });
                named.extend_from_slice(name);
            }
        }
        lines.push(Rank::Never, &OVERFLOW, |out| out.write_all(&named).is_ok());
        Ok(false)
    }
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
        let outfit = Dresser::new(settings).dress(&View { handle: "h", user, data: &data }).unwrap();
        Dressed::new(Arc::new(outfit), Some(60)).headers().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_session_is_shown_field_by_field() {
        let seen =
            dressed(&settings(), r#"{"userinfo":"ad\u0000min 你","cart_id":7,"cart":["ü"],"ok":true,"none":null,"x-y":1}"#, Some("ada"));

        assert_eq!(
            seen,
            [
                "x-session-handle: h",
                "x-session-user: ada",
                r#"x-session-data: {"userinfo":"ad\u0000min \u4f60","cart_id":7,"cart":["\u00fc"],"ok":true,"none":null,"x-y":1}"#,
                "x-session-userinfo: ad%00min %E4%BD%A0",
                "x-session-cart-id: 7",
                r#"x-session-cart: ["\u00fc"]"#,
                "x-session-ok: true",
                "x-session-expires-in: 60",
            ]
        );
    }

    #[test]
    fn fields_that_would_share_a_header_get_none() {
        let seen = dressed(&settings(), r#"{"a_b":1,"A_b":2,"c":3}"#, None);

        assert_eq!(seen[2..], ["x-session-c: 3", "x-session-expires-in: 60"]);
    }

    #[test]
    fn only_listed_fields_are_shown() {
        let only = HeaderSettings { fields: Fields::Only(["b".to_owned()].into()), ..settings() };

        assert_eq!(dressed(&only, r#"{"a":1,"b":2}"#, None)[2..], ["x-session-b: 2", "x-session-expires-in: 60"]);
    }

    #[test]
    fn templates_are_filled_from_user_handle_and_fields() {
        let set = [("Remote-User", "{user}@{handle}"), ("X-Mail", "{field:mail}"), ("X-None", "{field:none}")];
        let set = set.map(|(name, template)| (name.parse().unwrap(), Template::parse(template).unwrap())).into();

        let seen = dressed(&HeaderSettings { set, ..settings() }, r#"{"mail":"é"}"#, Some("ada"));

        assert_eq!(seen[4..], ["remote-user: ada@h", "x-mail: %C3%A9", "x-session-expires-in: 60"]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_by_rank_and_named() {
        let data = format!(r#"{{"short":"s","long":"{}","list":["{}"]}}"#, "l".repeat(60), "x".repeat(40));

        let seen = dressed(&HeaderSettings { max_bytes: 235, ..settings() }, &data, Some("ada"));

        let named = "x-session-overflow: x-session-data, x-session-list, x-session-long";
        assert_eq!(seen[2..], ["x-session-short: s", named, "x-session-expires-in: 60"]);
    }

    #[test]
    fn overflow_error_refuses() {
        let data = Data::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(300))).unwrap();
        let strict = HeaderSettings { max_bytes: 200, overflow: Overflow::Error, ..settings() };

        assert!(Dresser::new(&strict).dress(&View { handle: "h", user: None, data: &data }).is_err());
    }

    #[test]
    fn a_lone_surrogate_becomes_a_replacement_character() {
        assert_eq!(text_of(r#""a\ud83d""#), "a\u{fffd}\u{fffd}\u{fffd}");
    }
}

//! Copy this: all that an app needs to have sessions behind Cloakroom. One function for each direction.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What this app keeps in a visitor's session. The fields are yours to choose; Cloakroom stores any JSON object.
#[derive(Debug, Default)]
pub struct Visitor {
    /// Names the session, publicly: good for logs, useless to a thief.
    pub handle: Option<String>,
    pub name: Option<String>,
    pub visits: u64,
    pub cart: Vec<String>,
}

impl Visitor {
    /// Reads the session from the request. No verification is due: Cloakroom has removed every `X-Session-*` header that a
    /// browser might have sent, so let nobody reach the app but Cloakroom.
    pub fn from(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());

        Self {
            handle: text("x-session-handle").map(str::to_owned),
            // Strings come percent-encoded, because a header holds only ASCII. Whoever came through Cloakroom's own login is a user, and
            // that name counts more than one that anybody may type.
            name: text("x-session-user")
                .or_else(|| text("x-session-name"))
                .map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned()),
            // Numbers come as text, lists and objects as JSON. A field that was never set has no header.
            visits: text("x-session-visits").and_then(|count| count.parse().ok()).unwrap_or(0),
            cart: text("x-session-cart").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
        }
    }
}

pub const SET: HeaderName = HeaderName::from_static("x-session-set");

/// Makes the answer's header that has the fields of `patch` stored; fields that it does not name stay, `null` removes one.
/// The first thing remembered starts the session. Each field must be listed in `write` of the app's route.
pub fn remember(patch: &Value) -> Result<[(HeaderName, HeaderValue); 1], InvalidHeaderValue> {
    Ok([(SET, HeaderValue::try_from(ascii(patch))?)])
}

/// JSON in printable ASCII, so that nothing in it can end the header: `ü` is written `\u00fc`, a line break `\n`.
/// Many languages have this built in (Python's `json.dumps` does it by itself).
pub fn ascii(json: &Value) -> String {
    let mut ascii = String::new();
    for character in json.to_string().chars() {
        match character {
            ' '..='~' => ascii.push(character),
            _ => ascii.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_text_fits_a_header_and_reads_back_the_same() {
        let patch = json!({"name": "李 \u{7f} \u{1f9e5} \r\nX-Session-Login: root \"quoted\" \\ \0"});

        let [(_, value)] = remember(&patch).unwrap();

        assert!(value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)), "{value:?}");
        assert_eq!(serde_json::from_slice::<Value>(value.as_bytes()).unwrap(), patch);
    }

    #[test]
    fn a_header_that_does_not_parse_counts_as_not_set() {
        let mut headers = HeaderMap::new();
        headers.insert("x-session-visits", HeaderValue::from_static("many"));
        headers.insert("x-session-cart", HeaderValue::from_static("{\"a\":1}"));

        let visitor = Visitor::from(&headers);

        assert_eq!((visitor.visits, visitor.cart), (0, vec![]));
    }
}

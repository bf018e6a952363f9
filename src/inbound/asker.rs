//! Who is to read an answer of ours: a person who went to a page, or a script, an image, a stream.

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName};

/// Who is to read an answer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Somebody looking at a page that fills the window or tab.
    Person,
    /// `fetch`, an image, a frame, an event stream, a WebSocket, a command line.
    Script,
}

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

impl Asker {
    /// Any sign of a script is enough. Without one, Fetch Metadata says who asks; clients that send none must want HTML.
    ///
    /// A frame is no page: our own pages refuse to be framed, so a login page could not be shown in one.
    pub(super) fn of(headers: &HeaderMap, is_websocket: bool) -> Self {
        if is_websocket || is_xml_http_request(headers) || accepts(headers, is_data) {
            return Asker::Script;
        }
        let (mode, dest) = (only(headers, &FETCH_MODE), only(headers, &FETCH_DEST));
        let is_page = match (mode, dest) {
            (None, None) => accepts(headers, is_page),
            (None, Some(dest)) => dest == b"document",
            // A navigation that a service worker passes on has lost its destination.
            (Some(mode), dest) => mode == b"navigate" && dest.is_none_or(|dest| matches!(dest, b"document" | b"empty")),
        };
        if is_page { Asker::Person } else { Asker::Script }
    }
}

/// Android's web views send their app's name in this header with every navigation, so only the old word counts.
fn is_xml_http_request(headers: &HeaderMap) -> bool {
    headers.get_all(REQUESTED_WITH).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"))
}

/// Fetch Metadata is one word; more than one is nobody's.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        (None, _) => None,
        (Some(_), Some(_)) => Some(b""),
    }
}

/// Whether a media type that is named in `Accept`, and not with a weight of zero (RFC 9110 section 12.4.2), is one of these.
fn accepts(headers: &HeaderMap, wanted: fn(&str) -> bool) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        wanted(&name) && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0)))
    })
}

/// What no browser asks for when it goes to a page.
fn is_data(media_type: &str) -> bool {
    media_type == "application/json" || media_type == "text/event-stream" || media_type.ends_with("+json")
}

fn is_page(media_type: &str) -> bool {
    matches!(media_type, "text/html" | "application/xhtml+xml")
}

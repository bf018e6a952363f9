//! An answer of our own: status, headers, body.

use crate::pages::CONTENT_SECURITY_POLICY;
use crate::session::Event;
use crate::session::id::SessionKey;
use askama::Template;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// What a browser may keep for ever, in seconds.
pub const YEAR: u32 = 365 * 24 * 3600;

/// What we answer ourselves. `Content-Length` is written with it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    /// What happened to the session, for the log.
    pub event: Event,
    /// The handles of the sessions that this answer ended: their WebSockets end too.
    pub ended: Vec<String>,
    /// What the store files sessions under that were ended unread, because it did not answer.
    pub ended_keys: Vec<SessionKey>,
    /// The user whose every session this answer ended.
    pub ended_user: Option<String>,
    /// Why it is no more than this, for the log; empty when there is nothing to say.
    pub reason: &'static str,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        let (event, ended, ended_keys) = (Event::None, Vec::new(), Vec::new());
        Reply { status, headers, body: body.into(), event, ended, ended_keys, ended_user: None, reason: "" }
    }

    /// Plain text.
    pub fn text(status: u16, text: &'static str) -> Self {
        Reply::new(status, "text/plain; charset=utf-8", text)
    }

    /// JSON for a page's own script.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Reply::new(status, "application/json", value.to_string())
    }

    /// A refusal for a script (RFC 9457).
    pub fn problem(status: u16, value: &serde_json::Value) -> Self {
        Reply::new(status, "application/problem+json", value.to_string())
    }

    /// A page. A template that fails to render, which none can, gives an empty one.
    pub fn page(status: u16, page: &impl Template) -> Self {
        let mut reply = Reply::new(status, "text/html; charset=utf-8", page.render().unwrap_or_default());
        reply.headers.push((http::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)));
        reply.headers.push((http::header::REFERRER_POLICY, HeaderValue::from_static("same-origin")));
        reply.headers.push((HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")));
        reply
    }

    /// A file of our pages, the same for everybody, that a browser may keep for so many seconds.
    pub fn file(content_type: &'static str, bytes: Bytes, seconds: u32) -> Self {
        let mut reply = Reply::new(200, content_type, bytes);
        reply.headers.retain(|(name, _)| name != CACHE_CONTROL);
        let immutable = if seconds >= YEAR { ", immutable" } else { "" };
        reply
            .headers
            .extend(HeaderValue::try_from(format!("public, max-age={seconds}{immutable}")).ok().map(|value| (CACHE_CONTROL, value)));
        // An image may be a document of its own (SVG): opened by itself it can do nothing.
        reply.headers.push((
            http::header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        ));
        reply
    }

    /// 303: go there with GET (RFC 9110 section 15.4.4).
    pub fn see_other(path: &str) -> Self {
        let mut reply = Reply::new(303, "text/plain; charset=utf-8", "");
        reply.headers.extend(HeaderValue::try_from(path).ok().map(|path| (LOCATION, path)));
        reply
    }

    /// With a `Set-Cookie` line.
    pub fn with_cookie(mut self, line: &str) -> Self {
        self.headers.extend(HeaderValue::try_from(line).ok().map(|line| (SET_COOKIE, line)));
        self
    }

    /// With the time after which to try again, in whole seconds.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.headers.push((RETRY_AFTER, HeaderValue::from(wait.as_secs())));
        self
    }

    /// With the reason for the log.
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// With further `Set-Cookie` lines.
    pub fn with_cookies(mut self, lines: &[HeaderValue]) -> Self {
        self.headers.extend(lines.iter().map(|line| (SET_COOKIE, line.clone())));
        self
    }

    /// With what happened to sessions, and to which.
    pub fn with_event(mut self, event: Event, ended: impl IntoIterator<Item = String>) -> Self {
        self.event = event;
        self.ended = ended.into_iter().collect();
        self
    }
}

//! The demo's one page: the app as its visitor sees it, beside the request that the app got and its own answer.

use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header, request};

use super::session::Visitor;
use super::{ITEM_LENGTH, MEMBERS, NAME_LENGTH, cart_is_full};
use crate::pages::{self, Manner};

/// A longer header value is cut for display.
const SHOWN_LENGTH: usize = 160;

#[derive(Template)]
#[template(path = "demo/page.html")]
pub struct Page<'a> {
    manner: Manner<'static>,
    visitor: &'a Visitor,
    /// This very visit, counting from 1.
    visit: u64,
    /// Whether the request came without any proxy, so that nobody reads what the app answers.
    direct: bool,
    /// Whether this is the page for members.
    for_members: bool,
    cart_is_full: bool,
    name_limit: usize,
    item_limit: usize,
    request_line: String,
    received: Lines,
    answered: Lines,
}

impl<'a> Page<'a> {
    pub fn new(visitor: &'a Visitor, request: &request::Parts, answer: &HeaderMap) -> Self {
        Self {
            manner: Manner::plain(),
            visitor,
            visit: visitor.visits.saturating_add(1),
            direct: !request.headers.contains_key("x-forwarded-for"),
            for_members: request.uri.path() == MEMBERS,
            cart_is_full: cart_is_full(&visitor.cart),
            name_limit: NAME_LENGTH,
            item_limit: ITEM_LENGTH,
            request_line: cut(&format!("{} {} {:?}", request.method, request.uri, request.version)),
            received: Lines::from(&request.headers),
            answered: Lines::from(answer),
        }
    }

    fn has_ticket(&self) -> bool {
        self.visitor.handle.is_some()
    }

    /// A short form of the handle that a person can compare, such as `4F·09·C2`.
    fn ticket_number(&self) -> Option<String> {
        self.visitor.handle.as_deref().map(pages::ticket_number)
    }

    fn ordinal_suffix(&self) -> &'static str {
        match (self.visit % 100, self.visit % 10) {
            (11..=13, _) => "th",
            (_, 1) => "st",
            (_, 2) => "nd",
            (_, 3) => "rd",
            _ => "th",
        }
    }
}

/// Headers to show, those between Cloakroom and the app apart from the rest.
struct Lines {
    ours: Vec<Line>,
    others: Vec<Line>,
}

struct Line {
    name: HeaderName,
    value: String,
}

impl From<&HeaderMap> for Lines {
    fn from(headers: &HeaderMap) -> Self {
        let lines = headers.iter().map(|(name, value)| Line { name: name.clone(), value: shown(name, value) });
        let (ours, others) = lines.partition(|line| line.name.as_str().starts_with("x-session-"));
        Self { ours, others }
    }
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    // Other apps on the same host may have put their secrets here, and a page is easily photographed.
    if [header::COOKIE, header::AUTHORIZATION].contains(name) {
        return "(not shown)".into();
    }
    cut(&String::from_utf8_lossy(value.as_bytes()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

//! Our own pages, all under `/.cloakroom/`. The app never sees these paths.

mod logout;
pub mod return_to;
mod status;

pub use return_to::ReturnTo;

use crate::inbound::Inbound;
use crate::pages::Manner;
use crate::rejection::Rejection;
use crate::reply::{Reply, YEAR};
use crate::session::{Sessions, Visitor};
use http::{HeaderMap, HeaderValue, Method};
use std::sync::Arc;

/// The largest form that we read, in bytes.
pub const LARGEST_FORM: usize = 8 * 1024;

/// A page of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Livez,
    Session,
    Logout,
    Stylesheet,
    /// Under our prefix, and nothing there.
    Nothing,
}

impl Endpoint {
    /// Which page of ours has this path; `None`: it belongs to the routes.
    pub fn at(path: &str) -> Option<Self> {
        let below = path.strip_prefix("/.cloakroom")?;
        Some(match below {
            "/livez" => Endpoint::Livez,
            "/session" => Endpoint::Session,
            "/logout" => Endpoint::Logout,
            _ if below.starts_with("/look") && below.ends_with(".css") => Endpoint::Stylesheet,
            _ if below.is_empty() || below.starts_with('/') => Endpoint::Nothing,
            _ => return None,
        })
    }

    /// Whether this request's body is a form that we must read first.
    pub fn reads_form(self, method: &Method) -> bool {
        self == Endpoint::Logout && method == Method::POST
    }

    /// Whether the page is about a session; the others cost no store access.
    pub fn is_personal(self) -> bool {
        matches!(self, Endpoint::Session | Endpoint::Logout)
    }

    /// The page's name in the access log.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::Livez => "/.cloakroom/livez",
            Endpoint::Session => "/.cloakroom/session",
            Endpoint::Logout => "/.cloakroom/logout",
            Endpoint::Stylesheet => "/.cloakroom/look.css",
            Endpoint::Nothing => "/.cloakroom/*",
        }
    }
}

/// A request to one of our pages.
pub struct Question<'a> {
    pub inbound: &'a Inbound,
    pub headers: &'a HeaderMap,
    /// The body of a POST.
    pub form: &'a [u8],
    pub visitor: Visitor,
    pub sessions: &'a Arc<Sessions>,
    /// Expire the apps' cookies: for the answer that ends a session, or that signs somebody else in.
    pub ended_cookies: &'a [HeaderValue],
    /// Fields of the data that a page's own script may read.
    pub exposed: &'a [String],
    /// How to speak to the visitor.
    pub manner: Manner<'a>,
}

impl Question<'_> {
    fn refuse(&self, rejection: &Rejection) -> Reply {
        rejection.reply(self.inbound.asker, self.manner)
    }
}

/// Answers a request to one of our pages.
pub async fn answer(endpoint: Endpoint, question: &Question<'_>) -> Reply {
    let method = &question.inbound.method;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match endpoint {
        Endpoint::Livez if reads => Reply::text(200, "ok\n"),
        Endpoint::Stylesheet if reads => stylesheet(question),
        Endpoint::Session if reads => status::session(question),
        Endpoint::Logout if reads => logout::ask(question),
        Endpoint::Logout if *method == Method::POST => logout::end(question).await,
        Endpoint::Nothing => question.refuse(&Rejection::NoRoute),
        _ => question.refuse(&Rejection::MethodRefused),
    }
}

/// The sheet under its own name may be kept for ever. Under any other, such as that of another version, it is only right for now.
fn stylesheet(question: &Question<'_>) -> Reply {
    let look = question.manner.look;
    let seconds = if question.inbound.target.path() == look.sheet_path() { YEAR } else { 300 };
    Reply::file("text/css; charset=utf-8", look.sheet().clone(), seconds)
}

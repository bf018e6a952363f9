//! Our own pages, all under `/.cloakroom/`. The app never sees these paths.

mod logout;
pub mod pages;
mod return_to;
mod status;

pub use return_to::ReturnTo;

use crate::edge::Edge;
use crate::inbound::Inbound;
use crate::rejection::Rejection;
use crate::reply::Reply;
use http::{HeaderMap, Method};

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
            "/look.css" => Endpoint::Stylesheet,
            _ if below.is_empty() || below.starts_with('/') => Endpoint::Nothing,
            _ => return None,
        })
    }

    /// Whether this request's body is a form that we must read first.
    pub fn reads_form(self, method: &Method) -> bool {
        self == Endpoint::Logout && method == Method::POST
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

/// Answers a request to one of our pages.
pub async fn answer(edge: &Edge, endpoint: Endpoint, inbound: &Inbound, headers: &HeaderMap, form: &[u8]) -> Reply {
    let reads = matches!(inbound.method, Method::GET | Method::HEAD);
    match endpoint {
        Endpoint::Livez if reads => Reply::text(200, "ok\n"),
        Endpoint::Stylesheet if reads => Reply::stylesheet(pages::LOOK),
        Endpoint::Session if reads => status::session(edge, inbound, headers).await,
        Endpoint::Logout if reads => logout::ask(edge, inbound, headers).await,
        Endpoint::Logout if inbound.method == Method::POST => logout::end(edge, inbound, headers, form).await,
        Endpoint::Nothing => Rejection::NoRoute.reply(inbound.asker),
        _ => Rejection::MethodRefused.reply(inbound.asker),
    }
}

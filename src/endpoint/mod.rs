//! Our own pages: all under `/.cloakroom/`, and with `[login]` two more. The app never sees these paths.

pub mod agent;
mod desk;
mod device;
mod devices;
mod form;
mod login;
mod logout;
mod obstacle;
pub mod own_cookie;
mod pre_session;
pub mod return_to;
mod status;
mod token;

pub use desk::Desk;
pub use return_to::ReturnTo;

use crate::access::Doors;
use crate::inbound::Inbound;
use crate::pages::Manner;
use crate::rejection::Rejection;
use crate::reply::{Reply, YEAR};
use crate::session::record::Client;
use crate::session::{Sessions, Visitor};
use http::{HeaderMap, HeaderValue, Method};
use std::sync::Arc;

/// The largest form that we read, in bytes: one with the longest name, password and [`ReturnTo`], of which every byte is escaped.
pub const LARGEST_FORM: usize = 32 * 1024;

/// A page of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Livez,
    Session,
    /// The login form, where `[login]` says.
    Login,
    Logout,
    /// The visitor's own sessions.
    Devices,
    Stylesheet,
    Logo,
    /// Under our prefix, and nothing there.
    Nothing,
}

impl Endpoint {
    /// Which page of ours has this path; `None`: it belongs to the routes.
    pub fn at(path: &str, doors: &Doors) -> Option<Self> {
        if doors.login.as_deref() == Some(path) {
            return Some(Endpoint::Login);
        }
        if doors.logout == path {
            return Some(Endpoint::Logout);
        }
        let below = path.strip_prefix("/.cloakroom")?;
        Some(match below {
            "/livez" => Endpoint::Livez,
            "/session" => Endpoint::Session,
            "/logout" => Endpoint::Logout,
            "/sessions" => Endpoint::Devices,
            _ if below.starts_with("/look") && below.ends_with(".css") => Endpoint::Stylesheet,
            _ if below.starts_with("/logo-") => Endpoint::Logo,
            _ if below.is_empty() || below.starts_with('/') => Endpoint::Nothing,
            _ => return None,
        })
    }

    /// Whether this request's body is a form that we must read first.
    pub fn reads_form(self, method: &Method) -> bool {
        matches!(self, Endpoint::Login | Endpoint::Logout | Endpoint::Devices) && method == Method::POST
    }

    /// The methods that the page answers.
    fn methods(self) -> &'static str {
        if self.reads_form(&Method::POST) { "GET, HEAD, POST" } else { "GET, HEAD" }
    }

    /// Whether the page is about a session; the others cost no store access.
    pub fn is_personal(self) -> bool {
        matches!(self, Endpoint::Session | Endpoint::Login | Endpoint::Logout | Endpoint::Devices)
    }

    /// The page's name in the access log.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::Livez => "/.cloakroom/livez",
            Endpoint::Session => "/.cloakroom/session",
            Endpoint::Login => "login",
            Endpoint::Logout => "/.cloakroom/logout",
            Endpoint::Devices => "/.cloakroom/sessions",
            Endpoint::Stylesheet => "/.cloakroom/look.css",
            Endpoint::Logo => "/.cloakroom/logo",
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
    /// The values of all cookies with our session cookie's name.
    pub cookies: &'a [String],
    /// The visitor's browser and address.
    pub client: Client,
    pub sessions: &'a Arc<Sessions>,
    /// Expire the apps' cookies: for the answer that ends a session, or that signs somebody else in.
    pub ended_cookies: &'a [HeaderValue],
    /// Fields of the data that a page's own script may read.
    pub exposed: &'a [String],
    /// How to speak to the visitor.
    pub manner: Manner<'a>,
    /// The paths of the login and the logout.
    pub doors: &'a Doors,
    /// Who may sign in; `None` without `[login]`.
    pub desk: Option<&'a Desk>,
}

impl Question<'_> {
    /// The signed-in user.
    fn user(&self) -> Option<&str> {
        if let Visitor::Known(session) = &self.visitor { session.user() } else { None }
    }

    /// What a form's token is bound to: this session, or none.
    fn subject(&self) -> String {
        if let Visitor::Known(session) = &self.visitor { session.handle().as_str().to_owned() } else { String::new() }
    }

    /// Where the visitor wants to go, if that is anywhere.
    fn onward(&self, raw: Option<&str>) -> Option<ReturnTo> {
        // One of the forms would lead in a circle.
        ReturnTo::parse(raw?).filter(|page| !self.doors.is_one(page))
    }

    /// Where a visitor goes who is going nowhere.
    fn front(&self) -> ReturnTo {
        self.desk.map_or_else(ReturnTo::front, |desk| desk.default_return.clone())
    }

    fn refuse(&self, rejection: &Rejection) -> Reply {
        rejection.reply(self.inbound.asker(self.headers), self.manner)
    }
}

/// Answers a request to one of our pages.
pub async fn answer(endpoint: Endpoint, question: &Question<'_>) -> Reply {
    let method = &question.inbound.method;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let sends = *method == Method::POST;
    match endpoint {
        Endpoint::Livez if reads => Reply::text(200, "ok\n"),
        Endpoint::Stylesheet if reads => stylesheet(question),
        Endpoint::Logo if reads => logo(question),
        Endpoint::Session if reads => status::session(question),
        Endpoint::Logout if reads => logout::ask(question),
        Endpoint::Logout if sends => logout::end(question).await,
        Endpoint::Devices if reads => devices::list(question).await,
        Endpoint::Devices if sends => devices::end(question).await,
        Endpoint::Login if reads || sends => match question.desk {
            Some(desk) if sends => login::submit(question, desk).await,
            Some(desk) => login::ask(question, desk),
            None => question.refuse(&Rejection::NoRoute),
        },
        Endpoint::Nothing => question.refuse(&Rejection::NoRoute),
        _ => question.refuse(&Rejection::MethodRefused { allow: endpoint.methods().to_owned() }),
    }
}

/// The sheet under its own name may be kept for ever. Under any other, such as that of another version, it is only right for now.
fn stylesheet(question: &Question<'_>) -> Reply {
    let look = question.manner.look;
    let seconds = if question.inbound.target.path() == look.sheet_path() { YEAR } else { 300 };
    Reply::file("text/css; charset=utf-8", look.sheet().clone(), seconds)
}

/// The operator's logo, or our icon, under the name of these very bytes.
fn logo(question: &Question<'_>) -> Reply {
    let icon = question.manner.look.icon();
    if question.inbound.target.path() != icon.path() {
        return question.refuse(&Rejection::NoRoute);
    }
    Reply::file(icon.content_type(), icon.bytes().clone(), YEAR)
}

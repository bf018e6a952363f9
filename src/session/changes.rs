//! What an app's answer may ask for, and what becomes of it.

use super::data::Data;
use super::id::Handle;
use super::record::{Client, Credential, Epoch};
use std::time::Duration;

/// The changes of one answer: one unit, applied whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Ends the session; nothing else applies then.
    pub end: Option<End>,
    /// Signs this user in.
    pub login: Option<String>,
    /// With a login, whether the browser keeps the cookie when it closes: `Some(false)`: no, and the idle limit holds; `Some(true)`: for the
    /// long `max_age`; `None`: as configured.
    pub remember: Option<bool>,
    /// With a login, the user's epoch from before the password was checked ([`super::Sessions::epoch_of`]): who is locked out while that
    /// takes its time does not get in. `None`: as of now.
    pub epoch: Option<Epoch>,
    /// With a login, what the desk has checked; `None`: an app says so.
    pub credential: Option<Credential>,
    /// A new id for the same session.
    pub renew: bool,
    /// Applied in order.
    pub patches: Vec<Patch>,
    /// The session's own lifetime from now on; zero ends it.
    pub max_age: Option<Duration>,
}

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This session.
    This,
    /// Every session of its user.
    All,
}

/// A change of the data.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// `req.session = null`: what it means is configured (`unset`).
    Null,
    /// A JSON Merge Patch (RFC 7396).
    Merge(Data),
}

impl Changes {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

/// The circumstances of a request that matter to its session.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Whether the request came over TLS, or a trusted proxy says so: decides `Secure` and `SameSite` where they are `auto`.
    pub secure: bool,
    /// Whether a cookie can reach the browser at all (path, `Secure` on plain HTTP). If not, no session is begun.
    pub cookie_possible: bool,
    /// Whether this use keeps the session alive.
    pub touch: bool,
    /// Who asks.
    pub client: Client,
}

/// What the answer must say, and what the log will.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub cookie: CookieOrder,
    pub event: Event,
    /// The session that began, if one did.
    pub begun: Option<Handle>,
}

/// What to do with the browser's cookie.
#[derive(Clone, Debug, PartialEq)]
pub enum CookieOrder {
    /// Leave it alone.
    Keep,
    /// Send this whole `Set-Cookie` line.
    Set(String),
}

/// What happened to the session, in one word for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There was none, and none began.
    None,
    /// It was used.
    Resumed,
    /// It was used, and the use is being noted.
    Touched,
    Started,
    Changed,
    /// The browser's copy was refreshed or signed anew.
    Refreshed,
    Renewed,
    LoggedIn,
    /// The field that names the user does so no more: the session goes on under a new id, with nobody signed in.
    SignedOut,
    Ended,
    EndedAll,
    /// The store could not confirm the end; this proxy refuses the session and keeps trying.
    EndUnconfirmed,
    /// The changes were dropped, because …
    Dropped(Dropped),
}

/// Why changes were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The session ended meanwhile.
    Gone,
    /// The request came with an id that was renewed meanwhile: it may read and end, not change.
    Renewed,
    /// The result would exceed `[session] max_bytes`.
    TooLarge,
    /// No cookie can reach this browser (`secure` on plain HTTP, or another path).
    NoCookie,
    /// All of the user's sessions were ended while this one was begun or renewed.
    Revoked,
    /// Too many others changed it at the same time.
    Contended,
}

impl Event {
    /// Whether the session that the visitor came with goes no further.
    pub fn is_the_end(self) -> bool {
        matches!(self, Event::LoggedIn | Event::SignedOut | Event::Ended | Event::EndedAll | Event::EndUnconfirmed)
    }

    /// The word in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::None => "none",
            Event::Resumed => "resumed",
            Event::Touched => "touched",
            Event::Started => "started",
            Event::Changed => "changed",
            Event::Refreshed => "refreshed",
            Event::Renewed => "renewed",
            Event::LoggedIn => "logged-in",
            Event::SignedOut => "signed-out",
            Event::Ended => "ended",
            Event::EndedAll => "ended-all",
            Event::EndUnconfirmed => "end-unconfirmed",
            Event::Dropped(Dropped::Gone) => "dropped-gone",
            Event::Dropped(Dropped::Renewed) => "dropped-renewed",
            Event::Dropped(Dropped::TooLarge) => "dropped-too-large",
            Event::Dropped(Dropped::NoCookie) => "dropped-no-cookie",
            Event::Dropped(Dropped::Revoked) => "dropped-revoked",
            Event::Dropped(Dropped::Contended) => "dropped-contended",
        }
    }
}

impl Outcome {
    /// No session began.
    pub fn of(cookie: CookieOrder, event: Event) -> Self {
        Outcome { cookie, event, begun: None }
    }

    /// Nothing for the browser.
    pub fn quiet(event: Event) -> Self {
        Outcome::of(CookieOrder::Keep, event)
    }
}

//! May this visitor pass? Who asks from where, for routes, WebSockets and our own forms; and the way in for those who may not.

mod origin;
mod require;
mod way_in;

pub use origin::{PostedFrom, may_open_websocket, posted_from};
pub use way_in::{Doors, turned_away, turned_out};

use crate::clock::Timestamp;
use crate::route::{Route, SessionUse, WhenDown};
use crate::session::Visitor;

/// What the visitor's session says about passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// The route wants a user, and there is none.
    NeedsUser,
    /// There is a user, and it is none of those that the route is for.
    NotAllowed,
    /// The user may pass, and signed in too long ago.
    LoginTooOld,
    /// The session cannot be read, and the route does without only for strangers.
    Unavailable,
}

/// Whether the route lets this visitor through. The store being down lets nobody in and logs nobody out.
///
/// Who may not pass at all is not asked to sign in again first.
pub fn passage(route: &Route, visitor: &Visitor, now: Timestamp) -> Passage {
    let required = route.session == SessionUse::Required;
    match visitor {
        Visitor::Unreachable { .. } if required || route.when_down == WhenDown::Unavailable => Passage::Unavailable,
        Visitor::Known(session) if required => match (session.user(), &route.require) {
            (None, _) => Passage::NeedsUser,
            (Some(_), None) => Passage::Open,
            (Some(user), Some(require)) if !require::is_met(require, user, &session.record().data) => Passage::NotAllowed,
            (Some(_), Some(require)) if !require::is_fresh(require, session.record().login_at, now) => Passage::LoginTooOld,
            (Some(_), Some(_)) => Passage::Open,
        },
        _ if required => Passage::NeedsUser,
        _ => Passage::Open,
    }
}

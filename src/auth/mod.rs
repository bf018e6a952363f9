//! Who may sign in: sources of users, the hashing of passwords, and the throttle. Knows no HTTP; [`Gatekeeper::check`] is the one question.
//!
//! A new kind of source is one file here and one variant of [`source::Source`].

pub mod choice;
mod credential;
pub mod gatekeeper;
pub mod hash;
pub mod mongo_users;
pub mod password;
pub mod pool;
pub mod source;
pub mod throttle;
pub mod users_file;

pub use gatekeeper::{Gatekeeper, Settings};
pub use mongo_users::MongoUsersSettings;
pub use password::Password;
pub use pool::HashPool;
pub use source::SourceSettings;
pub use throttle::{Rate, Throttle};

use crate::session::record::Credential;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::time::Duration;

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The name, as the source spells it.
    pub user: String,
    /// Copied into the session at login: `role`, `groups`, `email` and the like.
    pub fields: Map<String, Value>,
}

/// One try to sign in with a password.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The name as typed, without spaces around it.
    pub user: &'a str,
    /// The password, exactly as typed.
    pub password: &'a Password,
    /// Where it comes from.
    pub client: IpAddr,
    /// The id of a device that has signed in as this user before (by a cookie that we signed): others cannot use up its tries.
    pub known_device: Option<&'a str>,
}

/// What is said to an [`Attempt`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The password is right; with what is to be remembered of it in the session, for [`Gatekeeper::vouches_for`].
    Welcome(Account, Credential),
    /// Unknown, wrong or disabled: one answer for all, so that nobody learns which names exist (ASVS 6.3.8).
    Refused,
    /// Too many tries; nothing was hashed. 429, try again after this long.
    Slow(Duration),
    /// Too many sign-ins at this moment; nothing was hashed. 503, try again after this long.
    Busy(Duration),
    /// The users cannot be looked up now: their MongoDB is down. 503.
    Unavailable,
}

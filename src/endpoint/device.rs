//! Which users have signed in on this device before: they have tries of their own there (`throttle`).
//!
//! A random id of the device, and for each of a few users our signature under the two. The cookie names nobody and opens nothing.

use super::own_cookie::OwnCookie;
use super::{Desk, Question};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};

const PURPOSE: &str = "device";

/// Browsers keep no cookie for longer (RFC 6265bis section 5.5).
const LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);

/// A family's tablet.
const MOST_USERS: usize = 4;

const ID_LENGTH: usize = 22;

/// 128 bits of a signature, in hex.
const MARK_LENGTH: usize = 32;

/// What the browser keeps of its users.
pub struct Device {
    id: String,
    marks: Vec<String>,
}

impl Device {
    /// What the browser sent; `None` if nobody has signed in here.
    pub fn of(question: &Question<'_>) -> Option<Self> {
        let value = OwnCookie::Device.value(question)?;
        let mut parts = value.split('.');
        let id = parts.next().filter(|id| id.len() == ID_LENGTH)?.to_owned();
        let marks = parts.take(MOST_USERS).filter(|mark| mark.len() == MARK_LENGTH).map(str::to_owned).collect();
        Some(Device { id, marks })
    }

    /// One that nobody has used.
    pub fn fresh(desk: &Desk) -> Self {
        let mut bytes = [0; 16];
        desk.entropy.fill(&mut bytes);
        Device { id: URL_SAFE_NO_PAD.encode(bytes), marks: Vec::new() }
    }

    /// Names the device, and nobody.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this user has signed in here before.
    pub fn knows(&self, question: &Question<'_>, user: &str) -> bool {
        let own = self.mark(question, user);
        self.marks.iter().fold(Choice::from(0), |known, mark| known | own.as_bytes().ct_eq(mark.as_bytes())).into()
    }

    /// The line that makes the browser keep that this user has signed in, too; the one who was here longest ago goes.
    pub fn line_with(&self, question: &Question<'_>, user: &str) -> String {
        let own = self.mark(question, user);
        let others = self.marks.iter().filter(|mark| **mark != own).take(MOST_USERS - 1);
        let value = others.fold(format!("{}.{own}", self.id), |value, mark| format!("{value}.{mark}"));
        OwnCookie::Device.line(&value, LIFETIME, question.inbound.secure, question.sessions.now())
    }

    /// Upper and lower case are one, as they are to the throttle.
    fn mark(&self, question: &Question<'_>, user: &str) -> String {
        let mut token = question.sessions.keyring().token(PURPOSE, &format!("{}.{}", self.id, user.to_lowercase()));
        token.truncate(MARK_LENGTH);
        token
    }
}

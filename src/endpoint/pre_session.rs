//! What a browser keeps before it has a session: the nonce of its login forms, and for a moment the word that a login succeeded.
//!
//! If that word comes back without the session's cookie, the browser has not kept the session's cookie: without it the visitor would be
//! sent round and round between a page and the login.

use super::own_cookie::OwnCookie;
use super::{Desk, Question, ReturnTo};
use crate::clock::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;

const PURPOSE: &str = "signed-in";

/// Twice as long as a form is good for, and renewed with every form.
const LIFETIME: Duration = Duration::from_secs(2 * 3600);

/// A redirect comes back at once; after this long it is another visit.
const LOOP: Duration = Duration::from_secs(20);

/// 16 random bytes in base64url.
const NONCE_LENGTH: usize = 22;

/// This browser, without a session.
pub struct PreSession {
    pub nonce: String,
    /// When a login succeeded here, and our signature under that.
    mark: Option<(Timestamp, String)>,
}

impl PreSession {
    /// What the browser sent; `None` if it sent nothing of the kind.
    pub fn of(question: &Question<'_>) -> Option<Self> {
        let value = OwnCookie::PreSession.value(question)?;
        let mut parts = value.splitn(3, '.');
        let nonce = parts.next().filter(|nonce| nonce.len() == NONCE_LENGTH)?.to_owned();
        let mark = parts.next().and_then(|at| i64::from_str_radix(at, 16).ok()).map(Timestamp).zip(parts.next().map(str::to_owned));
        Some(PreSession { nonce, mark })
    }

    /// A new browser's.
    pub fn fresh(desk: &Desk) -> Self {
        let mut bytes = [0; 16];
        desk.entropy.fill(&mut bytes);
        PreSession { nonce: URL_SAFE_NO_PAD.encode(bytes), mark: None }
    }

    /// The same browser, without the word of a login.
    pub fn unmarked(&self) -> Self {
        PreSession { nonce: self.nonce.clone(), mark: None }
    }

    /// The line that makes the browser keep it, without any mark.
    pub fn line(&self, question: &Question<'_>) -> String {
        OwnCookie::PreSession.line(&self.nonce, LIFETIME, question.inbound.secure, question.sessions.now())
    }

    /// The line that also says that a login has just succeeded here, on the way to `return_to`.
    pub fn marked_line(&self, question: &Question<'_>, return_to: &ReturnTo) -> String {
        let now = question.sessions.now();
        let signature = question.sessions.keyring().token(PURPOSE, &self.about(now, return_to));
        OwnCookie::PreSession.line(&format!("{}.{:x}.{signature}", self.nonce, now.0), LIFETIME, question.inbound.secure, now)
    }

    /// Whether a login succeeded in this browser just now, on the way to this very page.
    pub fn has_just_signed_in(&self, question: &Question<'_>, return_to: &ReturnTo) -> bool {
        let Some((at, signature)) = &self.mark else { return false };
        let now = question.sessions.now();
        now.since(*at) <= LOOP && question.sessions.keyring().is_token(PURPOSE, &self.about(*at, return_to), signature)
    }

    /// Whether it holds the word of a login, right or wrong.
    pub fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    fn about(&self, at: Timestamp, return_to: &ReturnTo) -> String {
        format!("{}.{}.{}", self.nonce, at.0, return_to.as_str())
    }
}

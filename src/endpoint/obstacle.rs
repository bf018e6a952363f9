//! Why a login did not work: cause → one table of status, words above the form, and log reason.

use crate::pages::words::Login;
use crate::pages::{LoginPage, Notice};
use crate::reply::Reply;
use http::StatusCode;
use std::time::Duration;

/// When the users cannot be looked up, it is worth asking again after this long.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(5);

/// What stands between a visitor and a session. The form is shown again, with the name that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The form had been open for more than an hour.
    Expired,
    /// The form came back without the cookie that was given with it.
    CookieNotKept,
    /// Our cookies travel over TLS only, and this came by plain HTTP.
    Insecure,
    /// The form may not have been ours.
    Foreign,
    Incomplete,
    PasswordTooLong,
    /// Nobody's name can be so long, or hold such characters.
    OddName,
    Refused,
    TooManyTries(Duration),
    Busy(Duration),
    UsersUnavailable,
}

impl Obstacle {
    /// The page with the form, as this obstacle has it answered.
    pub fn reply(self, page: &mut LoginPage<'_>) -> Reply {
        let (status, notice, reason) = self.told(&page.manner.words.login);
        page.notice = Some(notice);
        let reply = Reply::page(status.as_u16(), page).because(reason);
        match self.wait() {
            Some(wait) => reply.with_retry_after(wait),
            None => reply,
        }
    }

    fn told(self, say: &Login) -> (StatusCode, Notice, &'static str) {
        use StatusCode as Is;
        let wait = self.wait().unwrap_or_default();
        match self {
            Obstacle::Expired => (Is::FORBIDDEN, Notice::calm(say.expired), "form-expired"),
            Obstacle::CookieNotKept => (Is::FORBIDDEN, Notice::bad(say.lost.blocked), "cookie-not-kept"),
            Obstacle::Insecure => (Is::FORBIDDEN, Notice::bad(say.lost.insecure), "cookie-not-possible"),
            Obstacle::Foreign => (Is::FORBIDDEN, Notice::calm(say.unsure), "form-foreign"),
            Obstacle::Incomplete => (Is::BAD_REQUEST, Notice::bad(say.incomplete), "login-incomplete"),
            Obstacle::PasswordTooLong => (Is::BAD_REQUEST, Notice::bad(say.password_too_long), "password-too-long"),
            Obstacle::OddName => (Is::BAD_REQUEST, Notice::bad(say.refused), "login-odd-name"),
            Obstacle::Refused => (Is::UNAUTHORIZED, Notice::bad(say.refused), "login-refused"),
            Obstacle::TooManyTries(_) => (Is::TOO_MANY_REQUESTS, Notice::bad((say.slow_down)(wait)), "login-throttled"),
            Obstacle::Busy(_) => (Is::SERVICE_UNAVAILABLE, Notice::bad((say.busy)(wait)), "login-busy"),
            Obstacle::UsersUnavailable => (Is::SERVICE_UNAVAILABLE, Notice::bad(say.unavailable), "users-unavailable"),
        }
    }

    /// In whole seconds, at least one.
    fn wait(self) -> Option<Duration> {
        let wait = match self {
            Obstacle::TooManyTries(wait) | Obstacle::Busy(wait) => wait,
            Obstacle::UsersUnavailable => UNAVAILABLE_FOR,
            _ => return None,
        };
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Some(Duration::from_secs(seconds.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Manner;

    #[test]
    fn a_throttled_visitor_is_told_the_same_wait_twice() {
        let mut page = LoginPage {
            manner: Manner::plain(),
            action: "/login",
            token: String::new(),
            return_to: "/",
            onward: None,
            notice: None,
            name: "alice",
            again: false,
            remember: None,
            host: "localhost",
        };

        let reply = Obstacle::TooManyTries(Duration::from_millis(3200)).reply(&mut page);

        assert_eq!(reply.status, 429);
        assert!(reply.headers.iter().any(|(name, value)| name == "retry-after" && value == "4"));
        assert!(page.notice.is_some_and(|notice| notice.text.contains("4 seconds")));
    }
}

//! Every refusal of the edge: cause → one table of status, public text and log reason.

use crate::inbound::{Asker, Malformed};
use crate::pages::ErrorPage;
use crate::reply::Reply;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use serde_json::json;

/// Why a visitor does not get the app's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request can be read in more than one way, or not at all.
    Malformed(Malformed),
    HeadTooLarge,
    UriTooLong,
    /// The head or a form of ours took too long to come.
    SlowHead,
    MethodRefused,
    ExpectationFailed,
    BodyTooLarge,
    /// No route for this path.
    NoRoute,
    /// No route for this host.
    Misdirected,
    /// Not refused for good: the login page, and back.
    SentToLogin {
        /// A local address.
        to: String,
        too_old: bool,
    },
    /// The route needs a user; why the session ended, if one did.
    NotSignedIn {
        lapse: Option<&'static str>,
        way: WayIn,
    },
    /// The route needs a younger login than this user's.
    LoginTooOld {
        way: WayIn,
    },
    Forbidden,
    /// Signed in, and not as somebody for whom the route is.
    NotAllowed {
        user: String,
        /// Where they can change that.
        logout: String,
    },
    /// A form or a WebSocket of another site.
    CrossSite,
    StoreUnavailable,
    /// The browser is signed out; the store could not confirm it.
    LogoutUnconfirmed,
    UpstreamUnreachable,
    UpstreamTimeout,
    UpstreamMalformed,
    /// The session does not fit into the app's headers.
    HeadersTooLarge,
    /// Ours.
    Defect,
}

/// How a visitor who must sign in gets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayIn {
    /// The login page with the way back, as a local address; `None`: there is none of ours.
    pub login: Option<String>,
    /// Something was sent that is lost, so the way back leads to the page where it was typed.
    pub lost: bool,
}

/// What the visitor is told. Never a source, a path, a host or an id.
struct Told {
    status: u16,
    title: &'static str,
    lines: &'static [&'static str],
    reason: &'static str,
}

const LOST: &str = "Sign in, go back to the form, and send again what you typed there.";

const fn told(status: u16, title: &'static str, lines: &'static [&'static str], reason: &'static str) -> Told {
    Told { status, title, lines, reason }
}

impl Rejection {
    fn told(&self) -> Told {
        match self {
            Rejection::Malformed(what) => told(
                400,
                "We could not read that request",
                &[
                    "Something about it can be understood in more than one way, so it was not passed on.",
                    "If you followed a link, the link is broken; try the site's front page.",
                ],
                what.as_str(),
            ),
            Rejection::HeadTooLarge => told(
                431,
                "That request is too large",
                &["Its headers are larger than this site accepts.", "Clearing this site's cookies in your browser usually helps."],
                "head-too-large",
            ),
            Rejection::UriTooLong => told(414, "That address is too long", &["It is longer than this site accepts."], "target-too-long"),
            Rejection::SlowHead => {
                told(408, "That took too long", &["The request did not arrive in time.", "Please try again."], "too-slow")
            }
            Rejection::MethodRefused => {
                told(405, "That is not possible here", &["This address does not answer that kind of request."], "method-refused")
            }
            Rejection::ExpectationFailed => told(
                417,
                "We cannot do what that request expects",
                &["It asks for something that this site does not offer."],
                "expectation-failed",
            ),
            Rejection::BodyTooLarge => told(
                413,
                "That is too large to send",
                &["This site accepts less than that at once.", "Please send a smaller file."],
                "body-too-large",
            ),
            Rejection::NoRoute => told(404, "There is nothing here", &["The address leads nowhere on this site."], "no-route"),
            Rejection::Misdirected => {
                told(421, "That site is not here", &["The address names a site that is not served here."], "no-route-for-host")
            }
            Rejection::SentToLogin { too_old: false, .. } => told(303, "Please sign in first", &[], "not-signed-in"),
            Rejection::SentToLogin { too_old: true, .. } => told(303, "Please sign in again", &[], "login-too-old"),
            Rejection::NotSignedIn { lapse: Some(_), way: WayIn { lost: true, .. } } => {
                told(401, "Please sign in again", &["Your session had ended, so what you sent did not arrive.", LOST], "not-signed-in")
            }
            Rejection::NotSignedIn { way: WayIn { lost: true, .. }, .. } => {
                told(401, "Please sign in first", &["You are not signed in, so what you sent did not arrive.", LOST], "not-signed-in")
            }
            Rejection::NotSignedIn { lapse: Some("idle"), .. } => told(
                401,
                "Please sign in again",
                &["You were away for a while, so your session ended.", "Nothing is lost: sign in, and come back to this page."],
                "not-signed-in",
            ),
            Rejection::NotSignedIn { lapse: Some(_), .. } => told(
                401,
                "Please sign in again",
                &["Your session has ended.", "Nothing is lost: sign in, and come back to this page."],
                "not-signed-in",
            ),
            Rejection::NotSignedIn { lapse: None, .. } => told(
                401,
                "Please sign in first",
                &["This page is for people who are signed in.", "Sign in, then come back to it."],
                "not-signed-in",
            ),
            Rejection::LoginTooOld { way: WayIn { lost: true, .. } } => told(
                401,
                "Please sign in again",
                &["You signed in a while ago, and this needs a fresh login; what you sent did not arrive.", LOST],
                "login-too-old",
            ),
            Rejection::LoginTooOld { .. } => told(
                401,
                "Please sign in again",
                &["You signed in a while ago, and this page needs a fresh login.", "You stay signed in everywhere else."],
                "login-too-old",
            ),
            Rejection::Forbidden => {
                told(403, "This page is not for you", &["You need to be signed in as somebody who may see it."], "forbidden")
            }
            Rejection::NotAllowed { .. } => told(
                403,
                "This page is not for you",
                &["You are signed in, but not as somebody who may see it.", "If you have another account, you can change to it."],
                "not-allowed",
            ),
            Rejection::CrossSite => told(
                403,
                "That came from another site",
                &["To keep you safe, this is only possible from this site's own pages.", "Go back to the site and try there."],
                "cross-site",
            ),
            Rejection::StoreUnavailable => told(
                503,
                "One moment, please",
                &["Your session is safe, but we cannot reach it right now.", "You are not signed out. Please try again in a moment."],
                "store-unavailable",
            ),
            Rejection::LogoutUnconfirmed => told(
                503,
                "You are signed out on this device",
                &[
                    "We could not reach the place where your session is kept, so we will keep trying to end it there.",
                    "This browser has forgotten it already.",
                ],
                "logout-unconfirmed",
            ),
            Rejection::UpstreamUnreachable => told(
                502,
                "This page cannot be reached",
                &["The service behind it does not answer right now.", "Please try again in a moment."],
                "upstream-unreachable",
            ),
            Rejection::UpstreamTimeout => told(
                504,
                "This page takes too long",
                &["The service behind it did not answer in time.", "Please try again in a moment."],
                "upstream-timeout",
            ),
            Rejection::UpstreamMalformed => {
                told(502, "This page cannot be shown", &["The service behind it gave an answer that makes no sense."], "upstream-malformed")
            }
            Rejection::HeadersTooLarge => told(
                502,
                "This page cannot be shown",
                &["Your session holds more than the service behind this page can take."],
                "session-headers-too-large",
            ),
            Rejection::Defect => told(
                500,
                "Something went wrong on our side",
                &["It is not your fault, and it has been written down.", "Please try again."],
                "defect",
            ),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.told().status
    }

    /// The word in the access log.
    pub fn log_reason(&self) -> &'static str {
        self.told().reason
    }

    /// The answer: a page for a person, `application/problem+json` (RFC 9457) for a script. Never `WWW-Authenticate`, which would open
    /// the browser's own password window.
    pub fn reply(&self, asker: Asker) -> Reply {
        let Told { status, title, lines, reason } = self.told();
        let retry = matches!(status, 408 | 502..=504) && *self != Rejection::LogoutUnconfirmed;
        if let Rejection::SentToLogin { to, .. } = self {
            return Reply::see_other(to);
        }
        let mut reply = match asker {
            Asker::Person => {
                let (user, way) = (self.user(), self.way());
                Reply::page(status, &ErrorPage { status, title, lines, retry, user, way, number: String::new(), time: String::new() })
            }
            Asker::Script => {
                let mut problem = json!({ "status": status, "title": title, "reason": reason });
                if let Some(members) = problem.as_object_mut() {
                    members.extend(self.members().into_iter().map(|(name, value)| (name.to_owned(), value.into())));
                }
                Reply::problem(status, &problem)
            }
        };
        if status == 503 {
            reply.headers.push((RETRY_AFTER, HeaderValue::from_static("2")));
        }
        reply
    }

    /// Who is signed in, if that is what is wrong.
    fn user(&self) -> Option<&str> {
        if let Rejection::NotAllowed { user, .. } = self { Some(user) } else { None }
    }

    /// What to do about it: a label and a local address.
    fn way(&self) -> Option<(&'static str, &str)> {
        match self {
            Rejection::NotSignedIn { way, .. } | Rejection::LoginTooOld { way } => way.login.as_deref().map(|login| ("Sign in", login)),
            Rejection::NotAllowed { logout, .. } => Some(("Change account", logout)),
            _ => None,
        }
    }

    /// What a script is told besides.
    fn members(&self) -> Vec<(&'static str, &str)> {
        match self {
            Rejection::NotSignedIn { lapse, way } => {
                lapse.map(|lapse| ("session", lapse)).into_iter().chain(way.login.as_deref().map(|login| ("login", login))).collect()
            }
            Rejection::LoginTooOld { way } => way.login.as_deref().map(|login| ("login", login)).into_iter().collect(),
            Rejection::NotAllowed { user, logout } => vec![("user", user), ("logout", logout)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_gets_a_page_and_a_script_gets_json_and_neither_may_be_cached() {
        let rejection = Rejection::NotSignedIn { lapse: Some("idle"), way: WayIn::default() };
        let (page, problem) = (rejection.reply(Asker::Person), rejection.reply(Asker::Script));

        for reply in [&page, &problem] {
            assert_eq!(reply.status, 401);
            assert!(reply.headers.iter().any(|(name, value)| name == "cache-control" && value == "no-store"));
            assert!(!reply.headers.iter().any(|(name, _)| name == "www-authenticate"));
        }
        assert!(page.body.starts_with(b"<!doctype html>"));
        let problem: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
        assert_eq!((problem["reason"].as_str(), problem["session"].as_str()), (Some("not-signed-in"), Some("idle")));
    }

    #[test]
    fn who_is_not_allowed_is_told_as_whom_and_how_to_change() {
        let rejection = Rejection::NotAllowed { user: "<ada>".into(), logout: "/out?return_to=/a%3Fb".into() };
        let (page, problem) = (rejection.reply(Asker::Person), rejection.reply(Asker::Script));

        let page = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(page.contains("<bdi>&#60;ada&#62;</bdi>") && page.contains("href=\"/out?return_to=/a%3Fb\""), "{page}");
        let problem: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
        assert_eq!((problem["user"].as_str(), problem["reason"].as_str()), (Some("<ada>"), Some("not-allowed")));
    }

    #[test]
    fn an_outage_says_when_to_try_again() {
        let reply = Rejection::StoreUnavailable.reply(Asker::Script);

        assert!(reply.status == 503 && reply.headers.iter().any(|(name, _)| name == "retry-after"));
    }
}

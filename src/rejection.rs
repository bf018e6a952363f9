//! Every refusal of the edge: cause → one table of status, public text and log reason.

use crate::inbound::{Asker, Malformed};
use crate::pages::words::{Refusals, Text};
use crate::pages::{ErrorPage, Language, Link, Manner};
use crate::reply::Reply;
use http::HeaderValue;
use http::header::ALLOW;
use serde_json::json;
use std::time::Duration;

/// Why a visitor does not get the app's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request can be read in more than one way, or not at all.
    Malformed(Malformed),
    HeadTooLarge,
    UriTooLong,
    /// The head or a form of ours took too long to come.
    SlowHead,
    MethodRefused {
        /// The methods that are answered here, as `Allow` lists them.
        allow: String,
    },
    ExpectationFailed,
    BodyTooLarge,
    /// A form of ours that was not sent as a form.
    FormType,
    /// A form of ours with a field twice, or with bytes that are no text.
    FormMalformed,
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
        /// Where they can change that: a local address.
        logout: String,
    },
    /// A form or a WebSocket of another site.
    CrossSite,
    StoreUnavailable,
    /// The browser is signed out; the store could not confirm it.
    LogoutUnconfirmed,
    /// Sessions on other devices were to end; the store could not confirm it.
    EndUnconfirmed,
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
    /// In the visitor's language.
    text: fn(&Refusals) -> &Text,
    reason: &'static str,
}

const fn told(status: u16, text: fn(&Refusals) -> &Text, reason: &'static str) -> Told {
    Told { status, text, reason }
}

impl Rejection {
    fn told(&self) -> Told {
        match self {
            Rejection::Malformed(what) => told(400, |say| &say.malformed, what.as_str()),
            Rejection::HeadTooLarge => told(431, |say| &say.head_too_large, "head-too-large"),
            Rejection::UriTooLong => told(414, |say| &say.uri_too_long, "target-too-long"),
            Rejection::SlowHead => told(408, |say| &say.too_slow, "too-slow"),
            Rejection::MethodRefused { .. } => told(405, |say| &say.method_refused, "method-refused"),
            Rejection::ExpectationFailed => told(417, |say| &say.expectation_failed, "expectation-failed"),
            Rejection::BodyTooLarge => told(413, |say| &say.body_too_large, "body-too-large"),
            Rejection::FormType => told(415, |say| &say.form_type, "form-type"),
            Rejection::FormMalformed => told(400, |say| &say.form_type, "form-malformed"),
            Rejection::NoRoute => told(404, |say| &say.no_route, "no-route"),
            Rejection::Misdirected => told(421, |say| &say.misdirected, "no-route-for-host"),
            Rejection::SentToLogin { too_old: false, .. } => told(303, |say| &say.not_signed_in, "not-signed-in"),
            Rejection::SentToLogin { too_old: true, .. } => told(303, |say| &say.login_too_old, "login-too-old"),
            Rejection::NotSignedIn { way: WayIn { lost: true, .. }, .. } => told(401, |say| &say.form_not_sent, "not-signed-in"),
            Rejection::NotSignedIn { lapse: Some("idle"), .. } => told(401, |say| &say.idle, "not-signed-in"),
            Rejection::NotSignedIn { lapse: Some(_), .. } => told(401, |say| &say.session_ended, "not-signed-in"),
            Rejection::NotSignedIn { lapse: None, .. } => told(401, |say| &say.not_signed_in, "not-signed-in"),
            Rejection::LoginTooOld { way: WayIn { lost: true, .. } } => told(401, |say| &say.form_needs_login, "login-too-old"),
            Rejection::LoginTooOld { .. } => told(401, |say| &say.login_too_old, "login-too-old"),
            Rejection::Forbidden => told(403, |say| &say.forbidden, "forbidden"),
            Rejection::NotAllowed { .. } => told(403, |say| &say.not_allowed, "not-allowed"),
            Rejection::CrossSite => told(403, |say| &say.cross_site, "cross-site"),
            Rejection::StoreUnavailable => told(503, |say| &say.store_unavailable, "store-unavailable"),
            Rejection::LogoutUnconfirmed => told(503, |say| &say.logout_unconfirmed, "logout-unconfirmed"),
            Rejection::EndUnconfirmed => told(503, |say| &say.end_unconfirmed, "end-unconfirmed"),
            Rejection::UpstreamUnreachable => told(502, |say| &say.upstream_unreachable, "upstream-unreachable"),
            Rejection::UpstreamTimeout => told(504, |say| &say.upstream_timeout, "upstream-timeout"),
            Rejection::UpstreamMalformed => told(502, |say| &say.upstream_malformed, "upstream-malformed"),
            Rejection::HeadersTooLarge => told(502, |say| &say.headers_too_large, "session-headers-too-large"),
            Rejection::Defect => told(500, |say| &say.defect, "defect"),
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
    ///
    /// A page is in the visitor's language; what a script gets is for the one who wrote it, in English.
    pub fn reply(&self, asker: Asker, manner: Manner<'_>) -> Reply {
        let Told { status, text, reason } = self.told();
        let retry = matches!(status, 408 | 502..=504) && *self != Rejection::LogoutUnconfirmed;
        if let Rejection::SentToLogin { to, .. } = self {
            return Reply::see_other(to);
        }
        let mut reply = match asker {
            Asker::Person => {
                let Text { title, lines } = text(&manner.words.refusals);
                let user = self.user().map(manner.words.signed_in_as);
                let lines: Vec<&str> = user.as_deref().into_iter().chain(lines.iter().copied()).collect();
                let links = self.links(manner);
                Reply::page(status, &ErrorPage { manner, status, title, lines: &lines, retry, links })
            }
            Asker::Script => {
                let title = text(&Language::English.words().refusals).title;
                let mut problem = json!({ "status": status, "title": title, "reason": reason });
                if let Some(members) = problem.as_object_mut() {
                    members.extend(self.members().into_iter().map(|(name, value)| (name.to_owned(), value.into())));
                }
                Reply::problem(status, &problem)
            }
        };
        if let Rejection::MethodRefused { allow } = self {
            reply.headers.extend(HeaderValue::try_from(allow).ok().map(|allow| (ALLOW, allow)));
        }
        if status == 503 {
            reply = reply.with_retry_after(Duration::from_secs(2));
        }
        reply.because(reason)
    }

    /// Who is signed in, if that is what is wrong.
    fn user(&self) -> Option<&str> {
        if let Rejection::NotAllowed { user, .. } = self { Some(user) } else { None }
    }

    /// What a person can do about it.
    fn links<'a>(&self, manner: Manner<'a>) -> Vec<Link<'a>> {
        let words = manner.words;
        let link = match self {
            Rejection::NotSignedIn { way, .. } | Rejection::LoginTooOld { way } => {
                way.login.as_ref().map(|path| Link { text: words.sign_in, path: path.clone() })
            }
            Rejection::NotAllowed { logout, .. } => Some(Link { text: words.sign_in_as_another, path: logout.clone() }),
            _ => None,
        };
        link.into_iter().collect()
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
        let (page, problem) = (rejection.reply(Asker::Person, Manner::plain()), rejection.reply(Asker::Script, Manner::plain()));

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
    fn a_person_is_told_in_their_language_and_a_script_in_english() {
        let manner = Manner::new(crate::pages::Look::plain(), Language::Chinese);
        let text = |asker| String::from_utf8(Rejection::NoRoute.reply(asker, manner).body.to_vec()).unwrap();

        assert!(text(Asker::Person).contains("这里什么也没有"));
        assert!(text(Asker::Script).contains("There is nothing here"));
    }

    #[test]
    fn who_is_not_allowed_is_told_as_whom_and_how_to_change() {
        let rejection = Rejection::NotAllowed { user: "<ada>".into(), logout: "/out?return_to=/a%3Fb".into() };
        let (page, problem) = (rejection.reply(Asker::Person, Manner::plain()), rejection.reply(Asker::Script, Manner::plain()));

        let page = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(page.contains("You are signed in as &#60;ada&#62;.") && page.contains("href=\"/out?return_to=/a%3Fb\""), "{page}");
        let problem: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
        assert_eq!((problem["user"].as_str(), problem["reason"].as_str()), (Some("<ada>"), Some("not-allowed")));
    }

    #[test]
    fn an_outage_says_when_to_try_again() {
        let reply = Rejection::StoreUnavailable.reply(Asker::Script, Manner::plain());

        assert!(reply.status == 503 && reply.headers.iter().any(|(name, _)| name == "retry-after"));
    }
}

//! Everything that our pages say, by language. A language is one file: a [`Words`] in which nothing may be missing.

pub mod en;
pub mod zh;

use crate::session::lifecycle::Lapse;
use std::time::Duration;

/// Nobody counts the seconds of what has just happened.
const JUST_NOW: Duration = Duration::from_secs(60);

/// A message of its own: what happened, and then what it means and what to do.
#[derive(Debug)]
pub struct Text {
    pub title: &'static str,
    /// One paragraph each.
    pub lines: &'static [&'static str],
}

/// One language.
#[derive(Debug)]
pub struct Words {
    /// The tag for `lang` (BCP 47).
    pub tag: &'static str,
    pub kept_by: &'static str,
    pub try_again: &'static str,
    /// What one does on the login page; also the word on links that lead there.
    pub sign_in: &'static str,
    pub sign_out: &'static str,
    /// On the way to the login as another user.
    pub sign_in_as_another: &'static str,
    pub signed_in_as: fn(user: &str) -> String,
    /// `30 minutes`, `14 days`: the largest unit that tells it.
    pub length: fn(Duration) -> String,
    pub login: Login,
    pub logout: Logout,
    pub devices: Devices,
    pub refusals: Refusals,
}

/// The login page.
#[derive(Debug)]
pub struct Login {
    /// Before and after the path of the wanted page.
    pub onward: (&'static str, &'static str),
    /// The heading when a signed-in visitor is asked for the password again.
    pub again: &'static str,
    pub why_again: &'static str,
    pub name: &'static str,
    pub password: &'static str,
    pub remember: &'static str,
    pub refused: &'static str,
    pub incomplete: &'static str,
    pub password_too_long: &'static str,
    pub slow_down: fn(Duration) -> String,
    pub busy: fn(Duration) -> String,
    pub unavailable: &'static str,
    pub expired: &'static str,
    pub unsure: &'static str,
    pub lost: LostCookie,
    pub lapse: Lapses,
}

/// "Your browser did not keep our cookie, because ..."
#[derive(Debug)]
pub struct LostCookie {
    /// The browser refuses cookies, as far as we can tell.
    pub blocked: &'static str,
    /// The cookie travels over HTTPS only, and this page came by plain HTTP.
    pub insecure: &'static str,
    /// The cookie is set for another host than the one in the address bar.
    pub elsewhere: &'static str,
}

/// Why there is no session any more, for the login page.
#[derive(Debug)]
pub struct Lapses {
    /// After how long, if that is known.
    pub idle: fn(Option<Duration>) -> String,
    pub absolute: &'static str,
    pub ended: &'static str,
    pub revoked: &'static str,
    pub replaced: &'static str,
    pub unknown: &'static str,
}

impl Lapses {
    /// Why it ended; the idle limit is told where there is one.
    pub fn of(&self, lapse: Lapse, idle_timeout: Option<Duration>) -> String {
        match lapse {
            Lapse::Idle => (self.idle)(idle_timeout),
            Lapse::Absolute => self.absolute.to_owned(),
            Lapse::Ended => self.ended.to_owned(),
            Lapse::Revoked => self.revoked.to_owned(),
            Lapse::Replaced => self.replaced.to_owned(),
            Lapse::Unknown => self.unknown.to_owned(),
        }
    }
}

/// The page with the logout button.
#[derive(Debug)]
pub struct Logout {
    pub title: &'static str,
    pub heading: &'static str,
    pub here: &'static str,
    pub everywhere: &'static str,
    pub stay: &'static str,
    pub others_stay: &'static str,
}

/// The visitor's own devices.
#[derive(Debug)]
pub struct Devices {
    pub title: &'static str,
    pub this_one: &'static str,
    /// Browser and system, either of which may be unknown.
    pub called: fn(browser: Option<&str>, system: Option<&str>) -> String,
    pub signed_in: fn(Duration) -> String,
    pub active: fn(Duration) -> String,
    pub active_now: &'static str,
    pub end: &'static str,
    /// For screen readers: which one the button ends.
    pub end_this: fn(device: &str) -> String,
    pub end_others: &'static str,
    pub no_others: &'static str,
    pub confirm_first: &'static str,
    pub confirm: &'static str,
    /// Where no login page of ours can ask for the password.
    pub sign_in_again_first: &'static str,
    pub back: &'static str,
}

/// What the visitor is told instead of the app's answer.
#[derive(Debug)]
pub struct Refusals {
    pub malformed: Text,
    pub head_too_large: Text,
    pub uri_too_long: Text,
    pub too_slow: Text,
    pub method_refused: Text,
    pub expectation_failed: Text,
    pub body_too_large: Text,
    pub form_type: Text,
    pub no_route: Text,
    pub misdirected: Text,
    pub not_signed_in: Text,
    pub idle: Text,
    /// A form was sent by somebody who is not signed in (any more).
    pub form_not_sent: Text,
    /// A session ended, for whatever reason.
    pub session_ended: Text,
    /// Signed in, but too long ago for this page.
    pub login_too_old: Text,
    /// The same for a form that was sent.
    pub form_needs_login: Text,
    pub forbidden: Text,
    /// Signed in as somebody for whom the page is not. Comes after `signed_in_as`.
    pub not_allowed: Text,
    pub cross_site: Text,
    pub store_unavailable: Text,
    pub logout_unconfirmed: Text,
    pub end_unconfirmed: Text,
    pub upstream_unreachable: Text,
    pub upstream_timeout: Text,
    pub upstream_malformed: Text,
    pub headers_too_large: Text,
    pub defect: Text,
}

/// The largest unit in which a length is at least one, and how many of them, rounded down: days, hours, minutes, seconds.
fn largest_unit(length: Duration) -> (u64, usize) {
    let seconds = length.as_secs();
    [86_400, 3600, 60].iter().zip(0..).find(|(unit, _)| seconds >= **unit).map_or((seconds, 3), |(unit, which)| (seconds / unit, which))
}

#[cfg(test)]
mod tests {
    use super::super::Language;
    use super::*;

    #[test]
    fn a_length_is_told_in_its_largest_unit() {
        let told = |language: Language, seconds| (language.words().length)(Duration::from_secs(seconds));

        assert_eq!(
            [1, 59, 60, 1800, 7200, 86_400, 1_209_600].map(|seconds| told(Language::English, seconds)),
            ["1 second", "59 seconds", "1 minute", "30 minutes", "2 hours", "1 day", "14 days"]
        );
        assert_eq!(told(Language::Chinese, 1800), "30 分钟");
    }

    #[test]
    fn a_device_without_a_known_browser_has_a_name_all_the_same() {
        for language in Language::ALL {
            let called = language.words().devices.called;
            for name in
                [called(Some("Firefox"), Some("Linux")), called(Some("Firefox"), None), called(None, Some("Linux")), called(None, None)]
            {
                assert!(!name.trim().is_empty(), "{language:?}");
            }
        }
        assert_eq!((Language::English.words().devices.called)(Some("Firefox"), Some("Linux")), "Firefox on Linux");
    }

    #[test]
    fn no_text_is_left_out_of_a_language() {
        for language in Language::ALL {
            let all = format!("{:?}", language.words());
            assert!(!all.contains("\"\"") || language.words().login.onward.1.is_empty() && all.matches("\"\"").count() == 1, "{all}");
        }
    }
}

//! English.

use super::{Devices, JUST_NOW, Lapses, Login, Logout, LostCookie, Refusals, Text, Words, largest_unit};
use std::time::Duration;

/// English.
pub const WORDS: Words = Words {
    tag: "en",
    kept_by: "Sessions kept by Cloakroom",
    try_again: "Try again",
    sign_in: "Sign in",
    sign_out: "Sign out",
    sign_in_as_another: "Sign in as somebody else",
    signed_in_as: |user| format!("You are signed in as {user}."),
    length,
    login: Login {
        onward: ("to go on to ", ""),
        again: "Please confirm that it is you",
        why_again: "You signed in a while ago, so your password is asked for once more.",
        name: "Name",
        password: "Password",
        remember: "Keep me signed in on this device",
        refused: "That name and that password do not belong together. Please check both and try again.",
        incomplete: "Please fill in both your name and your password.",
        password_too_long: "That password is longer than any that this site accepts.",
        slow_down: |wait| format!("There were too many attempts. Please wait {}, then try again.", length(wait)),
        busy: |wait| format!("Many people are signing in right now. Please try again in {}.", length(wait)),
        unavailable: "We cannot check passwords right now. It is not your fault; please try again in a moment.",
        expired: "This page had been open for a while, so here is a fresh one. Please type your password once more.",
        unsure: "We could not tell whether this was sent from our own page. Please type your password once more.",
        lost: LostCookie {
            blocked: "Your browser did not keep our cookie, because it is set to refuse cookies from this site. Please allow them, then sign in again.",
            insecure: "Your browser did not keep our cookie, because the cookie travels over HTTPS only and this page came over plain HTTP. Please open the site's https:// address.",
            elsewhere: "Your browser did not keep our cookie, because the cookie is meant for another address than the one in your address bar. Please open the site under its own name.",
        },
        lapse: Lapses {
            idle: |after| match after {
                Some(after) => format!("You were away for more than {}, so your session ended.", length(after)),
                None => "You were away for a while, so your session ended.".to_owned(),
            },
            absolute: "You had been signed in for as long as this site allows, so your session ended.",
            ended: "You are signed out.",
            revoked: "You were signed out on another device, or by this site.",
            replaced: "You have signed in anew meanwhile, so the session of this page ended.",
            unknown: "Your session has ended.",
        },
    },
    logout: Logout {
        title: "Sign out",
        heading: "Hand back your ticket?",
        here: "Signing out ends this session in this browser and on the server.",
        everywhere: "Sign out on all my devices",
        stay: "Stay",
        others_stay: "Other devices stay as they are, unless you say so.",
    },
    devices: Devices {
        title: "Where you are signed in",
        this_one: "this device",
        called: |browser, system| match (browser, system) {
            (Some(browser), Some(system)) => format!("{browser} on {system}"),
            (Some(browser), None) => browser.to_owned(),
            (None, Some(system)) => format!("A browser on {system}"),
            (None, None) => "An unknown device".to_owned(),
        },
        signed_in: |ago| if ago < JUST_NOW { "signed in just now".to_owned() } else { format!("signed in {} ago", length(ago)) },
        active: |ago| format!("active {} ago", length(ago)),
        active_now: "active now",
        end: "Sign out",
        end_this: |device| format!("Sign out {device}"),
        end_others: "Sign out everywhere else",
        no_others: "You are signed in nowhere else.",
        confirm_first: "You signed in a while ago. To sign out another device, please confirm your password first.",
        confirm: "Confirm your password",
        sign_in_again_first: "You signed in a while ago. To sign out another device, please sign in again first.",
        back: "Back to the site",
    },
    refusals: Refusals {
        malformed: Text {
            title: "We could not read that request",
            lines: &[
                "Something about it can be understood in more than one way, so it was not passed on.",
                "If you followed a link, the link is broken; try the site's front page.",
            ],
        },
        head_too_large: Text {
            title: "That request is too large",
            lines: &["Its headers are larger than this site accepts.", "Clearing this site's cookies in your browser usually helps."],
        },
        uri_too_long: Text { title: "That address is too long", lines: &["It is longer than this site accepts."] },
        too_slow: Text { title: "That took too long", lines: &["The request did not arrive in time.", "Please try again."] },
        method_refused: Text { title: "That is not possible here", lines: &["This address does not answer that kind of request."] },
        expectation_failed: Text {
            title: "We cannot do what that request expects",
            lines: &["It asks for something that this site does not offer."],
        },
        body_too_large: Text {
            title: "That is too large to send",
            lines: &["This site accepts less than that at once.", "Please send a smaller file."],
        },
        form_type: Text { title: "We could not read that form", lines: &["It was not sent the way this site's own pages send it."] },
        no_route: Text { title: "There is nothing here", lines: &["The address leads nowhere on this site."] },
        misdirected: Text { title: "That site is not here", lines: &["The address names a site that is not served here."] },
        not_signed_in: Text {
            title: "Please sign in first",
            lines: &["This page is for people who are signed in.", "Sign in, then come back to it."],
        },
        idle: Text {
            title: "Please sign in again",
            lines: &["You were away for a while, so your session ended.", "Nothing is lost: sign in, and come back to this page."],
        },
        form_not_sent: Text {
            title: "Please sign in first",
            lines: &[
                "You are not signed in, so what you sent was not passed on.",
                "Sign in and go back to the form: what you typed there must be sent again.",
            ],
        },
        session_ended: Text {
            title: "Please sign in again",
            lines: &["Your session has ended.", "Nothing is lost: sign in, and come back to this page."],
        },
        login_too_old: Text {
            title: "Please sign in again",
            lines: &["You signed in a while ago, and this page needs a fresh login.", "You stay signed in everywhere else."],
        },
        form_needs_login: Text {
            title: "Please sign in again",
            lines: &[
                "You signed in a while ago, and this needs a fresh login, so what you sent was not passed on.",
                "Sign in and go back to the form: what you typed there must be sent again.",
            ],
        },
        forbidden: Text { title: "This page is not for you", lines: &["You need to be signed in as somebody who may see it."] },
        not_allowed: Text {
            title: "This page is not for you",
            lines: &["It is for others only. If you have another account, you can change to it."],
        },
        cross_site: Text {
            title: "That came from another site",
            lines: &["To keep you safe, this is only possible from this site's own pages.", "Go back to the site and try there."],
        },
        store_unavailable: Text {
            title: "One moment, please",
            lines: &["Your session is safe, but we cannot reach it right now.", "You are not signed out. Please try again in a moment."],
        },
        logout_unconfirmed: Text {
            title: "You are signed out on this device",
            lines: &[
                "We could not reach the place where your session is kept, so we will keep trying to end it there.",
                "This browser has forgotten it already.",
            ],
        },
        end_unconfirmed: Text {
            title: "Not confirmed yet",
            lines: &[
                "We could not reach the place where your sessions are kept, so we cannot say yet whether the other devices are signed out.",
                "We will keep trying to sign them out.",
            ],
        },
        upstream_unreachable: Text {
            title: "This page cannot be reached",
            lines: &["The service behind it does not answer right now.", "Please try again in a moment."],
        },
        upstream_timeout: Text {
            title: "This page takes too long",
            lines: &["The service behind it did not answer in time.", "Please try again in a moment."],
        },
        upstream_malformed: Text {
            title: "This page cannot be shown",
            lines: &["The service behind it gave an answer that makes no sense."],
        },
        headers_too_large: Text {
            title: "This page cannot be shown",
            lines: &["Your session holds more than the service behind this page can take."],
        },
        defect: Text {
            title: "Something went wrong on our side",
            lines: &["It is not your fault, and it has been written down.", "Please try again."],
        },
    },
};

fn length(length: Duration) -> String {
    let (count, unit) = largest_unit(length);
    let unit = ["day", "hour", "minute", "second"].get(unit).copied().unwrap_or_default();
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

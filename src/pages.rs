//! The pages that a visitor may see from Cloakroom itself: what a template needs, and nothing about when it is shown.
//!
//! They work without scripts and under [`CONTENT_SECURITY_POLICY`]; askama escapes every value.

use askama::Template;

/// The one stylesheet of all pages, served at [`LOOK_PATH`].
pub const LOOK: &str = include_str!("pages/look.css");
pub const LOOK_PATH: &str = "/.cloakroom/look.css";

/// Nothing but our own stylesheet and our own forms: no script, no frame, no other host.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Says what happened, what it means and what to do.
#[derive(Debug, Template)]
#[template(path = "pages/error.html")]
pub struct ErrorPage<'a> {
    pub status: u16,
    pub title: &'a str,
    /// One paragraph each.
    pub lines: &'a [&'a str],
    /// Whether loading the same page again may help.
    pub retry: bool,
    /// Who is signed in, where that is what is wrong.
    pub user: Option<&'a str>,
    /// What to do about it: a label and an address of this site.
    pub way: Option<(&'a str, &'a str)>,
    /// The short number that the access log shows for this request.
    pub number: String,
    /// Time of day in UTC, such as `22:41:07`.
    pub time: String,
}

/// Asks before the session ends, because a link must not be able to log anybody out.
#[derive(Template)]
#[template(path = "pages/logout.html")]
pub struct LogoutPage {
    /// Proves to the POST that this form was ours.
    pub token: String,
    /// A path of this site that was checked before: it is also where "stay" leads.
    pub return_to: String,
    pub user: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_page_offers_a_retry_only_where_it_may_help() {
        let page = |retry| ErrorPage {
            status: 503,
            title: "One moment, please",
            lines: &["You are not signed out."],
            retry,
            user: None,
            way: None,
            number: "8c1f04".into(),
            time: "22:41:07".into(),
        };

        assert!(page(true).render().unwrap().contains("Try again"));
        assert!(!page(false).render().unwrap().contains("Try again"));
    }

    #[test]
    fn what_a_visitor_chose_cannot_become_markup() {
        let page =
            LogoutPage { token: "\"><i>".into(), return_to: "/?\"onfocus=\"x".into(), user: Some("<script>alert(1)</script>".into()) };

        let html = page.render().unwrap();

        assert!(!html.contains("<script") && !html.contains("\"onfocus") && !html.contains("<i>"), "{html}");
    }

    #[test]
    fn no_page_needs_more_than_its_policy_allows() {
        let error = ErrorPage {
            status: 404,
            title: "No",
            lines: &[],
            retry: true,
            user: None,
            way: None,
            number: String::new(),
            time: String::new(),
        };
        let logout = LogoutPage { token: String::new(), return_to: "/".into(), user: None };

        for html in [error.render().unwrap(), logout.render().unwrap()] {
            for forbidden in ["<script", " style=", "<style", "<img", " onclick", "://"] {
                assert!(!html.contains(forbidden), "{forbidden} in {html}");
            }
        }
        for forbidden in ["url(", "@import", "@font-face"] {
            assert!(!LOOK.contains(forbidden), "{forbidden}");
        }
    }
}

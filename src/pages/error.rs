//! The page of a refusal.

use super::Manner;
use askama::Template;

/// Says what happened, what it means and what to do.
#[derive(Debug, Template)]
#[template(path = "pages/error.html")]
pub struct ErrorPage<'a> {
    pub manner: Manner<'a>,
    pub status: u16,
    pub title: &'a str,
    /// One paragraph each.
    pub lines: &'a [&'a str],
    /// Whether loading the same page again may help.
    pub retry: bool,
    /// Where else to go; the first one is the likely one.
    pub links: Vec<Link<'a>>,
}

/// A way on, to a path of this site.
#[derive(Clone, Debug)]
pub struct Link<'a> {
    pub text: &'a str,
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(retry: bool, links: Vec<Link<'static>>) -> String {
        let lines = &["You are not signed out."];
        let page = ErrorPage { manner: Manner::plain(), status: 503, title: "One moment, please", lines, retry, links };
        page.render().unwrap()
    }

    #[test]
    fn an_error_page_offers_a_retry_only_where_it_may_help() {
        assert!(page(true, Vec::new()).contains("Try again"));
        assert!(!page(false, Vec::new()).contains("Try again"));
    }

    #[test]
    fn an_error_page_leads_on() {
        let html = page(false, vec![Link { text: "Sign in", path: "/login?return_to=%2Fa".into() }]);

        assert!(html.contains(r#"<a class="button" href="/login?return_to=%2Fa">Sign in</a>"#), "{html}");
    }
}

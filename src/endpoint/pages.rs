//! The look of our own pages: one sheet, no script, nothing from elsewhere.

use askama::Template;

/// The sheet of every page.
pub const STYLESHEET: &str = include_str!("pages/look.css");

/// A refusal.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    pub status: u16,
    pub title: &'a str,
    pub lines: &'a [&'a str],
    /// Whether trying again may help.
    pub retry: bool,
}

/// The button that ends a session.
#[derive(Template)]
#[template(path = "logout.html")]
pub struct LogoutPage {
    /// Proves to ourselves that the form is ours, for clients that say nothing about where a POST comes from.
    pub token: String,
    /// Where to go afterwards; empty: the front page.
    pub return_to: String,
    pub user: Option<String>,
}

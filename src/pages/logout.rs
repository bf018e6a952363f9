//! The page with the logout button.

use super::Manner;
use askama::Template;

/// Asks before the session ends, because a link must not be able to log anybody out.
#[derive(Debug, Template)]
#[template(path = "pages/logout.html")]
pub struct LogoutPage<'a> {
    pub manner: Manner<'a>,
    /// Where the form goes.
    pub action: &'a str,
    /// Proves to the POST that this form was ours.
    pub token: String,
    /// A page of this site that was named, and checked before; `None`: the configuration says where those go who leave.
    pub return_to: Option<&'a str>,
    /// Where "stay" leads: a page of this site too.
    pub stay: &'a str,
    pub user: Option<&'a str>,
}

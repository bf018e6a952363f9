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
    /// A path of this site that was checked before: it is also where "stay" leads.
    pub return_to: &'a str,
    pub user: Option<&'a str>,
}

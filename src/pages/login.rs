//! The login page.

use super::Manner;
use askama::Template;

/// The form. Never holds a password.
#[derive(Debug, Template)]
#[template(path = "pages/login.html")]
pub struct LoginPage<'a> {
    pub manner: Manner<'a>,
    /// Where the form goes.
    pub action: &'a str,
    /// Proves to the POST that this form was ours.
    pub token: String,
    /// Where the visitor was going; a path of this site that was checked before.
    pub return_to: &'a str,
    /// That path as a person reads it; `None` if it is not worth telling.
    pub onward: Option<String>,
    pub notice: Option<Notice>,
    /// The name as it was typed, or of the visitor who is asked again.
    pub name: &'a str,
    /// A signed-in visitor is asked for the password again.
    pub again: bool,
    /// Whether to offer a session that outlives the browser, and whether that is ticked.
    pub remember: Option<bool>,
    /// The site as the visitor addressed it.
    pub host: &'a str,
}

/// What is said above the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub tone: Tone,
    pub text: String,
}

/// How it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// For the visitor's information.
    Calm,
    /// It did not work.
    Bad,
}

impl Notice {
    /// For the visitor's information.
    pub fn calm(text: impl Into<String>) -> Self {
        Notice { tone: Tone::Calm, text: text.into() }
    }

    /// It did not work.
    pub fn bad(text: impl Into<String>) -> Self {
        Notice { tone: Tone::Bad, text: text.into() }
    }

    pub(super) fn is_bad(&self) -> bool {
        self.tone == Tone::Bad
    }
}

impl LoginPage<'_> {
    fn heading(&self) -> &'static str {
        if self.again { self.manner.words.login.again } else { self.manner.words.sign_in }
    }

    fn is_wrong(&self) -> bool {
        self.notice.as_ref().is_some_and(Notice::is_bad)
    }
}

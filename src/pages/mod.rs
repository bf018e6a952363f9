//! The pages that a visitor may see from Cloakroom itself: what a template needs, and nothing about when it is shown.
//!
//! They work without scripts and under [`CONTENT_SECURITY_POLICY`]; askama escapes every value. What they say is in `words/`, a file
//! per language.

pub mod admin;
mod color;
mod devices;
mod error;
mod language;
mod login;
mod logout;
mod look;
pub mod words;

pub use color::Color;
pub use devices::{DeviceRow, DevicesPage, Ending};
pub use error::{ErrorPage, Link};
pub use language::Language;
pub use login::{LoginPage, Notice, Tone};
pub use logout::LogoutPage;
pub use look::{Logo, Look};

use words::Words;

/// Nothing but our own stylesheet, the operator's logo and our own forms: no script, no frame, no other host.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// For the admin page: our own script as well, which fetches from where it came.
pub const SCRIPTED_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How a page of ours speaks and looks.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    pub look: &'a Look,
    pub words: &'static Words,
}

impl<'a> Manner<'a> {
    /// This site's look, in this language.
    pub fn new(look: &'a Look, language: Language) -> Self {
        Manner { look, words: language.words() }
    }

    /// Cloakroom's own look, in English.
    pub fn plain() -> Manner<'static> {
        Manner::new(Look::plain(), Language::English)
    }
}

/// A short form of a handle that a person can compare, such as `4F·09·C2`.
pub fn ticket_number(handle: &str) -> String {
    let digits: Vec<char> = handle.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect::<String>().to_ascii_uppercase()).collect();
    pairs.join("·")
}

#[cfg(test)]
mod tests {
    use super::*;
    use askama::Template;

    const HOSTILE: &str = "\"><script>alert(1)</script><i onclick='x'>";

    /// Every page, filled with what a visitor or an app may have chosen.
    fn pages(manner: Manner<'_>, text: &str) -> Vec<String> {
        let device = |is_this| DeviceRow {
            handle: "4f09c2".into(),
            name: text.into(),
            address: Some(text.into()),
            signed_in: Some("signed in".into()),
            active: Some("active".into()),
            is_this,
        };
        let link = Link { text, path: text.into() };
        vec![
            ErrorPage { manner, status: 404, title: text, lines: &[text], retry: true, links: vec![link] }.render().unwrap(),
            LogoutPage { manner, action: "/logout", token: text.into(), return_to: Some(text), stay: text, user: Some(text) }
                .render()
                .unwrap(),
            LoginPage {
                manner,
                action: "/login",
                token: text.into(),
                return_to: text,
                onward: Some(text.into()),
                notice: Some(Notice::bad(text)),
                name: text,
                again: false,
                remember: Some(true),
                host: text,
            }
            .render()
            .unwrap(),
            DevicesPage {
                manner,
                user: text,
                action: "/.cloakroom/sessions",
                token: text.into(),
                rows: vec![device(true), device(false)],
                ending: Ending::Allowed,
            }
            .render()
            .unwrap(),
        ]
    }

    #[test]
    fn what_a_visitor_chose_cannot_become_markup() {
        for html in pages(Manner::plain(), HOSTILE) {
            assert!(!html.contains("<script") && !html.contains("<i ") && !html.contains("onclick='"), "{html}");
        }
    }

    #[test]
    fn no_page_needs_more_than_its_policy_allows() {
        let logo = Some(Logo::new("image/svg+xml", bytes::Bytes::from_static(b"<svg/>")));
        let look = Look::new(Some("Ledger".into()), logo, Color::parse("#00f"));
        for language in Language::ALL {
            for html in pages(Manner::new(&look, language), "plain") {
                for forbidden in ["<script", " style=", "<style", " onclick", "://", "javascript:"] {
                    assert!(!html.contains(forbidden), "{forbidden} in {html}");
                }
                assert!(html.contains(&format!("<html lang=\"{}\">", language.words().tag)), "{html}");
                assert!(html.contains(look.sheet_path()), "{html}");
            }
        }
        let sheet = std::str::from_utf8(look.sheet()).unwrap();
        for forbidden in ["url(", "@import", "@font-face"] {
            assert!(!sheet.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn a_chinese_page_holds_no_english_sentence() {
        let manner = Manner::new(Look::plain(), Language::Chinese);
        for html in pages(manner, "x") {
            for english in ["Sign", "Sign out", "Please", "Name", "Password", "Sessions kept", "Try again", "device"] {
                assert!(!html.contains(&format!(">{english}")), "{english} in {html}");
            }
        }
    }
}

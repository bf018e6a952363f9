//! The admin page: figures, plots, health, and the sessions of a user. For operators, in English.

mod plot;

pub use plot::{Curve, Plot};

use super::look::short_hash;
use super::{Manner, Notice};
use askama::Template;
use std::sync::LazyLock;

/// Where the page is; its cookie goes nowhere else.
pub const PATH: &str = "/console";

/// Keeps the figures true without taking away what is being typed.
pub const SCRIPT: &str = include_str!("live.js");

/// Where the script is served. Its text has a name of its own, so that a browser may keep it for ever.
pub fn script_path() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| format!("{PATH}/live-{}.js", short_hash(SCRIPT.as_bytes())));
    &NAME
}

/// The page of somebody who has shown the token.
#[derive(Template)]
#[template(path = "pages/admin/page.html")]
pub struct AdminPage<'a> {
    pub manner: Manner<'a>,
    /// Proves to a POST that the form was ours.
    pub proof: String,
    pub live: Live,
    /// Whose sessions are looked for; empty: nobody's.
    pub user: &'a str,
    pub found: Option<Found>,
    pub notice: Option<Notice>,
}

/// The part that is brought up to date.
#[derive(Template)]
#[template(path = "pages/admin/live.html")]
pub struct LivePart<'a> {
    pub live: &'a Live,
}

/// What changes by itself.
pub struct Live {
    /// Which Cloakroom this is, and of when this is.
    pub about: String,
    /// The process is on its way out.
    pub is_draining: bool,
    pub figures: Vec<Figure>,
    pub plots: Vec<Plot>,
    pub health: Vec<Fact>,
}

/// A number, with what it counts and over which time.
pub struct Figure {
    pub name: &'static str,
    pub value: String,
    pub of: String,
}

/// How one part is doing.
pub struct Fact {
    pub name: &'static str,
    pub state: State,
    /// The state in a few words.
    pub word: String,
    pub text: String,
}

/// How a fact is coloured; its words say it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Good,
    Plain,
    Bad,
}

/// Some of a user's sessions.
pub struct Found {
    pub rows: Vec<OpenSession>,
    /// Whether others came before.
    pub goes_on: bool,
    /// Where the next ones are.
    pub next: Option<String>,
}

/// One session.
pub struct OpenSession {
    pub handle: String,
    /// Browser and system.
    pub name: String,
    /// Address and times, as a person says them.
    pub facts: Vec<String>,
}

/// What stands in the page's place for everybody else.
#[derive(Template)]
#[template(path = "pages/admin/door.html")]
pub struct DoorPage<'a> {
    pub manner: Manner<'a>,
    pub door: Door,
    pub notice: Option<Notice>,
}

/// Why the door is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The token opens it.
    Token,
    /// There is no token that anybody could show.
    NoToken,
    /// The request is another site's page's, or goes to a name that is not this machine's.
    Foreign,
}

impl AdminPage<'_> {
    fn path(&self) -> &'static str {
        PATH
    }

    fn script(&self) -> &'static str {
        script_path()
    }

    fn site(&self) -> &str {
        self.manner.look.title.as_deref().unwrap_or("Cloakroom")
    }
}

impl DoorPage<'_> {
    fn path(&self) -> &'static str {
        PATH
    }
}

impl Fact {
    fn class(&self) -> &'static str {
        match self.state {
            State::Good => "tag",
            State::Plain => "tag plain",
            State::Bad => "tag bad",
        }
    }
}

/// `18 204`: a narrow space between the thousands, at which no line breaks.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let separated = digits.char_indices().map(|(at, digit)| {
        let gap = if at > 0 && at % 3 == first { "\u{202f}" } else { "" };
        format!("{gap}{digit}")
    });
    separated.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Look;
    use super::*;

    const HOSTILE: &str = "\"><script>alert(1)</script><i onclick='x'>";

    fn live(text: &str) -> Live {
        let curve = Curve { name: "begun", points: vec![1, 240, 80] };
        Live {
            about: text.into(),
            is_draining: true,
            figures: vec![Figure { name: "Sessions kept", value: text.into(), of: text.into() }],
            plots: vec![Plot { title: "Sessions", unit: "a minute", curves: vec![curve] }],
            health: vec![Fact { name: "Store", state: State::Bad, word: text.into(), text: text.into() }],
        }
    }

    fn pages(text: &str) -> Vec<String> {
        let manner = Manner::plain();
        let row = OpenSession { handle: text.into(), name: text.into(), facts: vec![text.into()] };
        let found = Some(Found { rows: vec![row], goes_on: true, next: Some(text.into()) });
        let notice = Some(Notice::bad(text));
        let mut pages = vec![
            AdminPage { manner, proof: text.into(), live: live(text), user: text, found, notice: notice.clone() }.render().unwrap(),
            LivePart { live: &live(text) }.render().unwrap(),
        ];
        for door in [Door::Token, Door::NoToken, Door::Foreign] {
            pages.push(DoorPage { manner, door, notice: notice.clone() }.render().unwrap());
        }
        pages
    }

    #[test]
    fn what_a_visitor_chose_cannot_become_markup() {
        for html in pages(HOSTILE) {
            let html = html.replace(&format!("<script src=\"{}\" defer>", script_path()), "");
            assert!(!html.contains("<script") && !html.contains("<i ") && !html.contains("onclick='"), "{html}");
        }
    }

    #[test]
    fn no_page_has_a_style_or_a_script_of_its_own() {
        for html in pages("plain") {
            for forbidden in ["<script>", " style=", "<style", " onclick", "://", "javascript:"] {
                assert!(!html.contains(forbidden), "{forbidden} in {html}");
            }
        }
        assert!(Look::plain().sheet_path().starts_with("/.cloakroom/"));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 999, 1000, 18_204, 1_234_567].map(grouped),
            ["0", "999", "1\u{202f}000", "18\u{202f}204", "1\u{202f}234\u{202f}567"]
        );
    }
}

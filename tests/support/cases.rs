//! Hostile cases: reading the lines of `tests/hostile/requests.jsonl`, filling in the placeholders.
//!
//! `{HOST} {COOKIE} {COOKIE_NAME} {COOKIE_VALUE} {COOKIE_NAME:upper|lower} {COOKIE_VALUE:-N}` speak of the signed-in
//! visitor, `{REPEAT:text:n}` repeats, `{CL}` is the length of what follows the first empty line, `{SLEEP:ms}` pauses.
//! Characters of a request are bytes (Latin-1).
use super::bytes_of;
use fancy_regex::Regex;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    pub id: String,
    pub class: String,
    #[serde(rename = "raw_request")]
    pub raw: String,
    pub must: String,
    pub transport: String,
    /// How many requests may reach the app.
    pub requests: usize,
    #[serde(default)]
    pub check: Check,
}

/// What is judged; see `tests/hostile.rs`. An unknown field is a mistake, not an omission.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// Status codes, `"close"` or `"none"`.
    pub status: Vec<serde_json::Value>,
    /// `"none"`: not one byte may reach the app.
    pub backend: Option<String>,
    pub backend_forbid: Vec<String>,
    pub backend_require: Vec<String>,
    pub backend_request_forbid: Vec<String>,
    pub backend_max_lines: HashMap<String, usize>,
    pub framing_oracle: bool,
    pub path_oracle: bool,
    pub client_forbid: Vec<String>,
    pub client_require: Vec<String>,
    pub client_require_if: HashMap<String, Vec<String>>,
    pub max_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(default)]
    replace: Vec<(String, String)>,
    #[serde(default)]
    disputed: bool,
    #[serde(rename = "reason")]
    _reason: String,
}

/// The signed-in visitor's cookie, and the host that the cases speak to.
#[derive(Debug, Clone, Default)]
pub struct Ticket {
    pub host: String,
    pub name: String,
    pub value: String,
}

/// Every case of the file, exceptions applied.
pub fn load() -> Vec<Case> {
    let lines = include_str!("../hostile/requests.jsonl").lines().filter(|l| !l.trim().is_empty());
    let mut cases: Vec<Case> = lines.map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let exceptions: HashMap<String, Exception> = serde_json::from_str(include_str!("../hostile/exceptions.json")).expect("exceptions.json");
    for (id, exception) in exceptions {
        let at = cases.iter().position(|c| c.id == id).unwrap_or_else(|| panic!("exceptions.json names no case: {id}"));
        for (old, new) in &exception.replace {
            assert!(cases[at].raw.contains(old), "nothing to replace in {id}");
            cases[at].raw = cases[at].raw.replace(old, new);
        }
        if exception.disputed {
            cases.remove(at);
        }
    }
    cases
}

impl Case {
    pub fn needs_cookie(&self) -> bool {
        self.raw.contains("{COOKIE}") || self.raw.contains("{COOKIE_VALUE")
    }

    pub fn is_slow(&self) -> bool {
        self.raw.contains("{SLEEP:")
    }

    pub fn session_must_survive(&self) -> bool {
        self.raw.contains("{COOKIE}") && (self.must.contains("stays valid") || self.must.contains("on failure it is unchanged"))
    }

    /// What to send on an HTTP/1 connection: bytes, each followed by a pause.
    pub fn pieces(&self, ticket: &Ticket) -> Vec<(Vec<u8>, Duration)> {
        let mut text = ticket.fill(&self.raw);
        if text.contains("{CL}") {
            let length = text.split_once("\r\n\r\n").map_or(0, |(_, body)| bytes_of(body).len());
            text = text.replace("{CL}", &length.to_string());
        }
        let mut parts = text.split("{SLEEP:");
        let mut pieces = vec![(bytes_of(parts.next().unwrap_or_default()), Duration::ZERO)];
        for part in parts {
            let (milliseconds, rest) = part.split_once('}').expect("{SLEEP:ms}");
            pieces.last_mut().expect("not empty").1 = Duration::from_millis(milliseconds.parse().expect("milliseconds"));
            pieces.push((bytes_of(rest), Duration::ZERO));
        }
        pieces
    }
}

impl Ticket {
    /// Every placeholder but `{CL}` and `{SLEEP}`.
    pub fn fill(&self, text: &str) -> String {
        let repeat = Regex::new(r"(?s)\{REPEAT:(.*?):(\d+)\}").expect("a pattern");
        let text = repeat.replace_all(text, |m: &fancy_regex::Captures| m[1].repeat(m[2].parse().expect("a number")));
        let cut = Regex::new(r"\{COOKIE_VALUE:-(\d+)\}").expect("a pattern");
        let text = cut.replace_all(&text, |m: &fancy_regex::Captures| {
            self.value[..self.value.len() - m[1].parse::<usize>().expect("a number")].to_owned()
        });
        text.replace("{HOST}", &self.host)
            .replace("{COOKIE}", &format!("{}={}", self.name, self.value))
            .replace("{COOKIE_NAME}", &self.name)
            .replace("{COOKIE_VALUE}", &self.value)
            .replace("{COOKIE_NAME:upper}", &self.name.to_uppercase())
            .replace("{COOKIE_NAME:lower}", &self.name.to_lowercase())
    }

    /// A check's regular expressions, placeholders taken literally.
    pub fn patterns(&self, expressions: &[String]) -> Vec<Regex> {
        let [host, name, value] = [&self.host, &self.name, &self.value].map(|t| fancy_regex::escape(t).into_owned());
        let escaped = Self { host, name, value };
        expressions.iter().map(|e| Regex::new(&escaped.fill(e)).unwrap_or_else(|error| panic!("{e}: {error}"))).collect()
    }
}

pub fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).expect("a pattern without catastrophes")
}

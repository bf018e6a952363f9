//! `[login]`: who may sign in on our own pages, and how those look.

use super::login_mongodb;
use super::notes::{At, Notes};
use super::reader::{Entry, Section};
use super::report::{Problem, shown};
use super::store::Store;
use super::units;
use crate::auth::users_file::{self, ReadError};
pub use crate::auth::{Rate, SourceSettings, Throttle};
use crate::endpoint::return_to::ReturnTo;
use crate::session::cookie::path_matches;
use std::sync::Arc;
use std::time::Duration;

/// Where the users of `[login.mongodb]` stand among the files.
const MONGODB: &str = "mongodb";

/// The most bytes of a logo: it is part of every page.
const LARGEST_LOGO: usize = 256 << 10;

/// `[login]`; without it no page of the login exists, and `/login` belongs to the app.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Where the form is.
    pub path: String,
    /// Where a visitor signs out.
    pub logout_path: String,
    /// Where a visitor goes after signing in who was going nowhere.
    pub default_return: ReturnTo,
    /// Where a visitor goes after signing out.
    pub logout_return: ReturnTo,
    /// Where users are kept; the first that knows a name decides.
    pub users: Vec<SourceSettings>,
    /// How many tries there are.
    pub throttle: Throttle,
    /// Whether the form offers to keep the visitor signed in.
    pub remember: bool,
    /// Whether signing out tells the browser to drop what it has cached (`Clear-Site-Data: "cache"`).
    pub clear_site_data: bool,
    /// How the pages look.
    pub page: Page,
}

/// `[login.page]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The site's name; `None`: the request's host.
    pub title: Option<String>,
    /// The site's picture.
    pub logo: Option<Logo>,
    /// The colour of buttons and links: red, green, blue.
    pub accent: Option<[u8; 3]>,
}

/// A picture, read when the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// `image/svg+xml` and the like.
    pub media_type: &'static str,
    /// The file's contents.
    pub bytes: Arc<[u8]>,
}

/// Reads `[login]`, if it is there. `store` has the MongoDB address that users share with sessions by default; the session's cookie is sent
/// to `cookie_path`.
pub(super) fn read(mut section: Section<'_, '_>, store: &Store, cookie_path: &str) -> Option<Login> {
    let span = section.span()?.clone();
    let notes = section.notes;
    let path = section.text("path").and_then(|path| own_path(notes, "path", path));
    let logout_path = section.text("logout_path").and_then(|path| own_path(notes, "logout_path", path));
    if let (Some(path), Some(logout)) = (&path, &logout_path)
        && path.value == logout.value
    {
        let problem = Problem::error("`path` and `logout_path` are the same").at(&logout.span, "again").also(&path.span, "first here");
        notes.add(problem.help("give each a path of its own"));
    }
    let path = path.map_or_else(|| "/login".to_owned(), |path| path.value);
    let logout_path = logout_path.map_or_else(|| "/logout".to_owned(), |path| path.value);
    let default_return = section.text("default_return").and_then(|to| onward(notes, to, &[&path, &logout_path]));
    let login = Login {
        path,
        logout_path,
        default_return: default_return.unwrap_or_else(ReturnTo::front),
        logout_return: section
            .text("logout_return")
            .and_then(|path| return_to(notes, "logout_return", path))
            .unwrap_or_else(ReturnTo::front),
        users: users(&mut section, store),
        throttle: throttle(section.section("throttle", "`throttle`")),
        remember: section.flag("remember").is_none_or(|flag| flag.value),
        clear_site_data: section.flag("clear_site_data").is_some_and(|flag| flag.value),
        page: page(section.section("page", "`[login.page]`")),
    };
    section.finish();
    if let Some(path) = [&login.path, &login.logout_path].into_iter().find(|path| !path_matches(cookie_path, path)) {
        let problem = Problem::error(format!("the session's cookie is not sent to `{path}`")).at(&span, "nobody could sign in or out");
        notes.add(problem.help(format!("`path` of `[session.cookie]` is \"{}\": use \"/\"", shown(cookie_path))));
    }
    Some(login)
}

fn own_path(notes: &Notes<'_>, key: &str, path: At<String>) -> Option<At<String>> {
    let text = &path.value;
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_~.".contains(&b));
    let has_names = text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|name| !matches!(name, "" | "." | "..")));
    let why = if !is_plain || !has_names {
        "not a plain path"
    } else if text == "/.cloakroom" || text.starts_with("/.cloakroom/") {
        "ours already"
    } else {
        return Some(path);
    };
    let problem = Problem::error(format!("`{key}` cannot be `{}`", shown(text))).at(&path.span, why);
    notes.add(problem.help("it begins with `/` and is made of letters, digits, `-`, `_` and `.`, as in \"/login\" or \"/account/login\""));
    None
}

/// Who is signed in already is sent there from the login at once, which must not lead back to it.
fn onward(notes: &Notes<'_>, path: At<String>, circles: &[&str]) -> Option<ReturnTo> {
    let span = path.span.clone();
    let to = return_to(notes, "default_return", path)?;
    if circles.contains(&to.path()) {
        let problem = Problem::error(format!("`default_return` cannot be `{}`", to.path())).at(&span, "this leads in a circle");
        notes.add(problem.help("name a page of your app, as in \"/\""));
        return None;
    }
    Some(to)
}

fn return_to(notes: &Notes<'_>, key: &str, path: At<String>) -> Option<ReturnTo> {
    let parsed = ReturnTo::parse(&path.value);
    if parsed.is_none() {
        let problem = Problem::error(format!("`{key}` cannot be `{}`", shown(&path.value))).at(&path.span, "not a path of this site");
        notes.add(problem.help("it begins with one `/`, as in \"/\" or \"/account?tab=1\""));
    }
    parsed
}

fn users(section: &mut Section<'_, '_>, store: &Store) -> Vec<SourceSettings> {
    let notes = section.notes;
    let login = section.span().cloned().unwrap_or_default();
    let mut mongodb = login_mongodb::read(section.section("mongodb", "`[login.mongodb]`"), store).map(Box::new);
    let files = match section.take("users") {
        None if mongodb.is_some() => Vec::new(),
        None => vec![At { value: "users.toml".to_owned(), span: login }],
        Some(entry) if entry.is_text() => entry.text().into_iter().collect(),
        Some(entry) => {
            let Some(At { value: files, span }) = entry.texts() else { return Vec::new() };
            if files.is_empty() {
                notes.add(Problem::error("`users` is empty").at(&span, "nobody could sign in").help("write users = \"users.toml\""));
            }
            files
        }
    };
    let mut sources = Vec::new();
    for file in files {
        match mongodb.take_if(|_| file.value == MONGODB) {
            Some(settings) => sources.push(SourceSettings::Mongo(settings)),
            None if file.value == MONGODB => {
                let problem =
                    Problem::error("`mongodb` stands for `[login.mongodb]`").at(&file.span, "which is not there, or named before");
                notes.add(problem.help("add the table, or remove the word; a file of this name is \"./mongodb\""));
            }
            None => sources.extend(users_file(notes, &file)),
        }
    }
    sources.into_iter().chain(mongodb.map(SourceSettings::Mongo)).collect()
}

/// A file of users. Its own mistakes are told with their place in it.
fn users_file(notes: &Notes<'_>, name: &At<String>) -> Option<SourceSettings> {
    let At { value, span } = name;
    if value.is_empty() {
        notes.add(Problem::error("`users` names no file").at(span, "empty").help("write users = \"users.toml\""));
        return None;
    }
    let path = notes.beside_file(value);
    match users_file::read(&path) {
        Ok(contents) => {
            for doubt in &contents.doubts {
                notes.add(Problem::warning(format!("{doubt}")).at(span, "this user cannot sign in"));
            }
            if contents.users.is_empty() {
                let why = if contents.is_missing { "does not exist" } else { "has no users" };
                let problem = Problem::warning(format!("`{}` {why}: nobody of it can sign in", shown(value))).at(span, "nobody");
                notes.add(problem.help("`cloakroom user add NAME` adds somebody"));
            }
        }
        Err(ReadError::Faulty(faults, _)) => {
            faults.iter().for_each(|fault| notes.add(Problem::error(fault.to_string()).at(span, "in this file")));
        }
        Err(error) => notes.add(Problem::error(error.to_string()).at(span, "not readable")),
    }
    Some(SourceSettings::File(path))
}

fn throttle(mut section: Section<'_, '_>) -> Throttle {
    let shipped = Throttle::default();
    let throttle = Throttle {
        per_user: section.take("per_user").and_then(rate).unwrap_or(shipped.per_user),
        per_client: section.take("per_client").and_then(rate).unwrap_or(shipped.per_client),
    };
    section.finish();
    throttle
}

/// Reads `"5 in 5m"`; `Some(None)` is `"off"`.
fn rate(entry: Entry<'_, '_>) -> Option<Option<Rate>> {
    if entry.as_text() == Some("off") {
        return Some(None);
    }
    let parsed = entry.as_text().and_then(parse_rate);
    match parsed {
        Some(rate) => Some(Some(rate)),
        None if entry.is_text() => {
            entry.notes.add(entry.wrong("not a rate").help("write how many tries in how long, as in \"5 in 5m\", or \"off\""));
            None
        }
        None => entry.text().and(None),
    }
}

fn parse_rate(text: &str) -> Option<Rate> {
    let (count, within) = text.split_once(" in ")?;
    let rate = Rate { count: count.trim().parse().ok()?, within: units::duration(within.trim())? };
    let is_sound = (1..=1_000_000).contains(&rate.count) && (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&rate.within);
    is_sound.then_some(rate)
}

fn page(mut section: Section<'_, '_>) -> Page {
    let notes = section.notes;
    let page = Page {
        title: section.text("title").map(|title| title.value).filter(|title| !title.is_empty()),
        logo: section.text("logo").and_then(|path| logo(notes, &path)),
        accent: section.text("accent").and_then(|accent| colour(notes, &accent)),
    };
    section.finish();
    page
}

fn logo(notes: &Notes<'_>, path: &At<String>) -> Option<Logo> {
    let types = [("svg", "image/svg+xml"), ("png", "image/png"), ("jpg", "image/jpeg"), ("jpeg", "image/jpeg"), ("webp", "image/webp")];
    let ending = path.value.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let wrong = |why: String, help: &str| {
        let problem = Problem::error(format!("`logo` cannot be `{}`", shown(&path.value))).at(&path.span, why);
        notes.add(problem.help(help));
    };
    let Some((_, media_type)) = types.iter().find(|(known, _)| *known == ending) else {
        wrong("not a picture".to_owned(), "name a file that ends in .svg, .png, .jpg or .webp");
        return None;
    };
    match std::fs::read(notes.beside_file(&path.value)) {
        Ok(bytes) if bytes.len() <= LARGEST_LOGO => Some(Logo { media_type, bytes: bytes.into() }),
        Ok(_) => {
            wrong("larger than 256 KiB".to_owned(), "it is part of every page: make it smaller");
            None
        }
        Err(error) => {
            wrong(error.to_string(), "the path is relative to the directory of this file");
            None
        }
    }
}

/// Reads `#rgb` and `#rrggbb`.
fn colour(notes: &Notes<'_>, text: &At<String>) -> Option<[u8; 3]> {
    let parsed = parse_colour(&text.value);
    if parsed.is_none() {
        let problem = Problem::error(format!("`accent` cannot be `{}`", shown(&text.value))).at(&text.span, "not a colour");
        notes.add(problem.help("write `#` and six hexadecimal digits, as in \"#3b5bdb\""));
    }
    parsed
}

fn parse_colour(text: &str) -> Option<[u8; 3]> {
    let digits: Vec<u8> =
        text.strip_prefix('#')?.chars().map(|c| c.to_digit(16).and_then(|n| u8::try_from(n).ok())).collect::<Option<_>>()?;
    match digits.as_slice() {
        [r, g, b] => Some([r, g, b].map(|n| n * 17)),
        [r, s, g, h, b, c] => Some([(r, s), (g, h), (b, c)].map(|(high, low)| high << 4 | low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_so_many_in_such_a_time() {
        assert_eq!(parse_rate("5 in 5m"), Some(Rate { count: 5, within: Duration::from_secs(300) }));
        assert_eq!(["5", "0 in 5m", "5 in 0s", "-1 in 5m", "5 in 5", "5 per 5m", "5 in 2d", ""].map(parse_rate), [None; 8]);
    }

    #[test]
    fn a_colour_has_three_or_six_digits() {
        assert_eq!(["#3b5bdb", "#fff", "#ABC"].map(parse_colour), [Some([0x3b, 0x5b, 0xdb]), Some([255; 3]), Some([0xaa, 0xbb, 0xcc])]);
        assert_eq!(["blue", "#12345", "#1234567", "3b5bdb", "#gggggg", ""].map(parse_colour), [None; 6]);
    }
}

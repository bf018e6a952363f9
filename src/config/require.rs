//! What a route may ask of its visitors: `session`, `require`, `unauthenticated`, `end_app_cookies`.

use super::cookie::is_token;
use super::notes::{At, Notes};
use super::reader::{Entry, Section};
use super::report::{Problem, shown};
use crate::route::{Require, Route, SessionUse, Unauthenticated, Wanted};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A login is never asked for more often than every second.
const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400 * 365);

/// What the visitor must be.
pub(super) struct Demands {
    pub(super) session: SessionUse,
    pub(super) require: Option<Require>,
    pub(super) unauthenticated: Unauthenticated,
}

/// Reads `session`, `require` and `unauthenticated`. `require` alone means `session = "required"`.
pub(super) fn demands(section: &mut Section<'_, '_>, has_login: bool) -> Demands {
    let notes = section.notes;
    let choices = [("off", SessionUse::Off), ("optional", SessionUse::Optional), ("required", SessionUse::Required)];
    let session = section.choice("session", &choices);
    let entry = section.take("require");
    let require_span = entry.as_ref().map(|entry| entry.span.clone());
    if let (Some(said), Some(span)) = (session.as_ref().filter(|said| said.value != SessionUse::Required), &require_span) {
        let word = if said.value == SessionUse::Off { "off" } else { "optional" };
        let problem = Problem::error(format!("`require` on a route with session = \"{word}\"")).at(span, "asks for a signed-in user");
        notes.add(problem.also(&said.span, "lets everybody pass").help("write session = \"required\", or remove one of the two"));
    }
    let require = entry.and_then(|entry| entry.section("`require`")).and_then(require);
    let implied = if require_span.is_some() { SessionUse::Required } else { SessionUse::Optional };
    let unauthenticated = section.take("unauthenticated").and_then(|entry| unauthenticated(entry, has_login)).unwrap_or_default();
    Demands { session: session.map_or(implied, |said| said.value), require, unauthenticated }
}

/// Warns where users are asked for and nothing in the file signs anybody in. Another Cloakroom that shares the store may.
pub(super) fn warn_if_nobody_signs_in(notes: &Notes<'_>, routes: &[Arc<Route>], other_ways: bool) {
    let asking = routes.iter().find(|route| route.session == SessionUse::Required);
    let signs_in = other_ways || routes.iter().any(|route| route.login);
    if let (Some(route), false, 0) = (asking, signs_in, notes.count()) {
        let problem = Problem::warning(format!("the route `{}` asks for a signed-in user, and nobody can sign in", shown(&route.name)));
        notes.add(problem.help("add a `[login]` section; or name the field by which your app signs people in: `[session]` user_from"));
    }
}

fn unauthenticated(entry: Entry<'_, '_>, has_login: bool) -> Option<Unauthenticated> {
    let (notes, span) = (entry.notes, entry.span.clone());
    let choices = [
        ("auto", Unauthenticated::Auto),
        ("redirect", Unauthenticated::Redirect),
        ("401", Unauthenticated::Unauthorized),
        ("403", Unauthenticated::Forbidden),
    ];
    let chosen = entry.choice(&choices)?.value;
    if chosen == Unauthenticated::Redirect && !has_login {
        let problem = Problem::error("`unauthenticated = \"redirect\"` without a `[login]`").at(&span, "no login page to go to");
        notes.add(problem.help("add a `[login]` section, or write \"401\""));
    }
    Some(chosen)
}

fn require(mut section: Section<'_, '_>) -> Option<Require> {
    let notes = section.notes;
    let span = section.span().cloned().unwrap_or_default();
    let before = notes.count();
    let require = Require {
        user: section.take("user").and_then(values),
        any: section.take("any").and_then(wanted).unwrap_or_default(),
        all: section.take("all").and_then(wanted).unwrap_or_default(),
        login_age: section.duration("login_age", AGES),
    };
    section.finish();
    if require == Require::default() && notes.count() == before {
        let problem = Problem::error("`require` asks for nothing").at(&span, "empty");
        notes.add(problem.help("write what it asks for, as in { any = { role = [\"admin\"] } }, or remove it"));
    }
    Some(require)
}

/// `{ role = ["admin"], "user.groups" = ["ops"] }`.
fn wanted(entry: Entry<'_, '_>) -> Option<Vec<Wanted>> {
    let (notes, name, span) = (entry.notes, entry.name.clone(), entry.span.clone());
    let fields = entry.section(&format!("`{name}`"))?.take_rest();
    if fields.is_empty() {
        let problem = Problem::error(format!("`{name}` names no field")).at(&span, "empty");
        notes.add(problem.help(format!("write a field and its values, as in {name} = {{ role = [\"admin\"] }}")));
    }
    let read = fields.into_iter().filter_map(|(field, entry)| {
        let path = path(notes, &field);
        let values = values(entry);
        Some(Wanted { path: path?, values: values? })
    });
    Some(read.collect())
}

fn path(notes: &Notes<'_>, field: &At<String>) -> Option<Vec<String>> {
    let path: Vec<String> = field.value.split('.').map(str::to_owned).collect();
    let why = match path.first().map(String::as_str) {
        Some("cookie") => "the cookie's own settings",
        _ if path.iter().any(String::is_empty) => "an empty name",
        _ => return Some(path),
    };
    let problem = Problem::error(format!("`require` cannot ask for the field `{}`", shown(&field.value))).at(&field.span, why);
    notes.add(problem.help("write a field of the session, or a dotted path in quotes, as in \"user.role\""));
    None
}

/// At least one text.
fn values(entry: Entry<'_, '_>) -> Option<BTreeSet<String>> {
    let (notes, name) = (entry.notes, entry.name.clone());
    let At { value: items, span } = entry.list()?;
    if items.is_empty() {
        let problem = Problem::error(format!("`{}` is empty", shown(&name))).at(&span, "nobody could pass");
        notes.add(problem.help("write who may pass, or remove it"));
        return None;
    }
    let listed: Vec<At<String>> = items.into_iter().filter_map(Entry::text).collect();
    if let Some(empty) = listed.iter().find(|item| item.value.is_empty()) {
        notes.add(Problem::error(format!("`{}` holds an empty text", shown(&name))).at(&empty.span, "nobody has it").help("remove it"));
        return None;
    }
    Some(listed.into_iter().map(|item| item.value).collect())
}

/// Reads `end_app_cookies`. `ours` is our own cookie's name.
pub(super) fn end_app_cookies(entry: Entry<'_, '_>, ours: &str) -> Option<Vec<String>> {
    let notes = entry.notes;
    let mut names: Vec<String> = Vec::new();
    for At { value, span } in entry.texts()?.value {
        let lower = value.to_ascii_lowercase();
        let bare = lower.strip_prefix("__host-").or_else(|| lower.strip_prefix("__secure-")).unwrap_or(&lower);
        let why = if !is_token(&value) {
            "not a cookie's name"
        } else if bare == "cloakroom" || bare.starts_with("cloakroom-") || value.eq_ignore_ascii_case(ours) {
            "our own: it ends by itself"
        } else {
            if !names.contains(&value) {
                names.push(value);
            }
            continue;
        };
        let problem = Problem::error(format!("`end_app_cookies` cannot name `{}`", shown(&value))).at(&span, why);
        notes.add(problem.help("name a cookie that the app sets, as in \"JSESSIONID\""));
    }
    Some(names)
}

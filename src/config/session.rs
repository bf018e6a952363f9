//! `[session]`: how long sessions live, and who may sign them.

use super::cookie::{self, Cookie, Site};
use super::notes::At;
use super::reader::{Entry, Section, unavailable};
use super::report::{Problem, nearest};
use super::secrets;
use crate::secret::Secret;
use crate::session::cookie::LONGEST;
pub use crate::session::id::IdHash;
pub use crate::session::lifecycle::Rolling;
pub use crate::session::sessions::{Keep, Unset};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
const CENTURY: Duration = Duration::from_secs(86_400 * 36_500);

/// `[session]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The first signs, all verify; empty: the store makes one.
    pub secrets: Vec<Secret>,
    /// What the store sees of an id.
    pub id_hash: IdHash,
    /// Without a request for this long a session is over; `None`: no such limit.
    pub idle_timeout: Option<Duration>,
    /// However busy, a session is over this long after it began; `None`: no such limit.
    pub absolute_timeout: Option<Duration>,
    /// A session is touched at most once per this length; zero: on every request.
    pub touch_after: Duration,
    /// How long the old id of a renewed session still reads it; zero: not at all.
    pub renew_grace: Duration,
    /// When the cookie is sent again.
    pub rolling: Rolling,
    /// Write every used session back, changed or not.
    pub resave: bool,
    /// Store sessions without data too.
    pub save_uninitialized: bool,
    /// What an app's `null` does.
    pub unset: Unset,
    /// The field of the data that names the user: a dotted path.
    pub user_from: Option<String>,
    /// What an anonymous visitor's session leaves to the session after login.
    pub keep_at_login: Keep,
    /// When a login gives a user more sessions than this, the oldest end; zero: as many as they like.
    pub max_per_user: usize,
    /// The most bytes of one session's data.
    pub max_bytes: usize,
    /// Fields that the page's own script may read.
    pub expose: BTreeSet<String>,
    /// The cookie.
    pub cookie: Cookie,
}

#[derive(Clone, Copy)]
enum Preset {
    Standard,
    Strict,
}

/// Reads `[session]`. `mongo_at` is the place that chooses a store that several proxies share.
pub(super) fn read(mut section: Section<'_, '_>, site: &Site, mongo_at: Option<Range<usize>>) -> Session {
    let (idle_default, absolute_default) = match preset(&mut section) {
        Preset::Standard => (14 * DAY, 90 * DAY),
        Preset::Strict => (30 * MINUTE, 12 * 60 * MINUTE),
    };
    let idle = section.limit("idle_timeout", SECOND..=CENTURY);
    let (mut cookie, has_max_age) = cookie::read(section.section("cookie", "`[session.cookie]`"), site);
    // When only one of the two is configured, the other follows it; a cookie that dies with the browser says nothing about idleness.
    let idle_timeout = idle.unwrap_or(Some(cookie.max_age.unwrap_or(idle_default)));
    if !has_max_age {
        cookie.max_age = Some(idle_timeout.unwrap_or(14 * DAY).min(LONGEST));
    }
    let session = Session {
        secrets: signing_secrets(&mut section, mongo_at),
        id_hash: section.choice("id_hash", &[("sha256", IdHash::Sha256), ("none", IdHash::None)]).map_or(IdHash::Sha256, |v| v.value),
        idle_timeout,
        absolute_timeout: section.limit("absolute_timeout", SECOND..=CENTURY).unwrap_or(Some(absolute_default)),
        touch_after: section.duration("touch_after", Duration::ZERO..=365 * DAY).unwrap_or(MINUTE),
        renew_grace: section.limit("renew_grace", Duration::ZERO..=DAY).map_or(Duration::from_secs(10), Option::unwrap_or_default),
        rolling: section
            .choice("rolling", &[("auto", Rolling::Auto), ("true", Rolling::Always), ("false", Rolling::Never)])
            .map_or(Rolling::Auto, |v| v.value),
        resave: section.flag("resave").is_some_and(|v| v.value),
        save_uninitialized: section.flag("save_uninitialized").is_some_and(|v| v.value),
        unset: section.choice("unset", &[("keep", Unset::Keep), ("destroy", Unset::Destroy)]).map_or(Unset::Keep, |v| v.value),
        user_from: section.take("user_from").and_then(user_from),
        keep_at_login: section.take("keep_at_login").and_then(keep_at_login).unwrap_or(Keep::All),
        max_per_user: section.take("max_per_user").and_then(|entry| entry.number(&(0..=100_000))).unwrap_or(0),
        max_bytes: section.size("max_bytes", 1 << 10..=8 << 20).unwrap_or(64 << 10),
        expose: section.take("expose").and_then(exposed).unwrap_or_default(),
        cookie,
    };
    section.finish();
    session
}

fn preset(section: &mut Section<'_, '_>) -> Preset {
    let Some(entry) = section.take("preset") else { return Preset::Standard };
    if entry.as_text() == Some("express") {
        entry.notes.add(unavailable("preset = \"express\"", &entry.span));
        return Preset::Standard;
    }
    entry.choice(&[("standard", Preset::Standard), ("strict", Preset::Strict)]).map_or(Preset::Standard, |chosen| chosen.value)
}

fn signing_secrets(section: &mut Section<'_, '_>, mongo_at: Option<Range<usize>>) -> Vec<Secret> {
    let notes = section.notes;
    let Some(entry) = section.take("secrets") else {
        if let Some(at) = mongo_at {
            let problem = Problem::error("the MongoDB store needs `secrets`").at(&at, "shared by several proxies");
            notes.add(problem.help("add secrets = [\"env:SESSION_SECRET\"] to `[session]`; `cloakroom secret` prints a fresh one"));
        }
        return Vec::new();
    };
    if !entry.is_list() {
        return secrets::read(entry).into_iter().collect();
    }
    let Some(At { value: items, span }) = entry.list() else { return Vec::new() };
    if items.is_empty() {
        let problem = Problem::error("`secrets` is empty").at(&span, "no secret");
        notes.add(problem.help("write one, or remove the key to let the embedded store make one"));
    }
    items.into_iter().filter_map(secrets::read).collect()
}

fn user_from(entry: Entry<'_, '_>) -> Option<String> {
    if entry.as_text().is_some_and(|path| path.split('.').any(str::is_empty)) {
        entry.notes.add(entry.wrong("not a field").help("write a field, or a dotted path as in \"passport.user\""));
        return None;
    }
    if entry.as_text().is_some_and(is_cookie) {
        entry.notes.add(entry.wrong("`cookie` is not part of a session's data"));
        return None;
    }
    entry.text().map(|path| path.value)
}

/// Fields for the page's own script; not the names under which it finds Cloakroom's own answers.
fn exposed(entry: Entry<'_, '_>) -> Option<BTreeSet<String>> {
    const OURS: [&str; 4] = ["user", "expires_in", "idle_in", "login_age"];
    let (notes, span) = (entry.notes, entry.span.clone());
    let named = fields(entry)?;
    for name in OURS.iter().filter(|name| named.contains(**name)) {
        let problem = Problem::error(format!("`expose` cannot name `{name}`")).at(&span, "has a meaning of its own");
        notes.add(problem.help("`/.cloakroom/session` tells it already, as Cloakroom knows it; remove it"));
    }
    Some(named)
}

fn is_cookie(path: &str) -> bool {
    path.split('.').next() == Some("cookie")
}

fn keep_at_login(entry: Entry<'_, '_>) -> Option<Keep> {
    match entry.as_text() {
        Some("all") => Some(Keep::All),
        Some(word) => {
            let problem = entry.wrong("must be `all` or a list of fields");
            entry.notes.add(match nearest(word, ["all"]) {
                Some(_) => problem.help("did you mean `all`?"),
                None => problem.help(format!("did you mean [\"{}\"]?", super::report::shown(word))),
            });
            None
        }
        None => fields(entry).map(|fields| Keep::Fields(fields.into_iter().collect())),
    }
}

/// A list of the names of session fields.
pub(super) fn fields(entry: Entry<'_, '_>) -> Option<BTreeSet<String>> {
    let (notes, name) = (entry.notes, entry.name.clone());
    let mut fields = BTreeSet::new();
    for At { value, span } in entry.texts()?.value {
        if value.is_empty() {
            notes.add(Problem::error(format!("`{name}` names no field")).at(&span, "empty").help("write the field's name, or remove it"));
        } else if value == "cookie" {
            let problem = Problem::error(format!("`{name}` cannot name `cookie`")).at(&span, "the cookie's own settings");
            notes.add(problem.help("remove it: it is not part of a session's data"));
        } else {
            fields.insert(value);
        }
    }
    Some(fields)
}

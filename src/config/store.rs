//! `[store]`: where sessions are kept.

use super::notes::At;
use super::reader::{Entry, Section};
use super::report::Problem;
use super::secrets;
use crate::route::WhenDown;
use crate::secret::Secret;
use crate::session::store::cached::CacheSettings;
pub use crate::session::store::mongo::Format;
use std::path::PathBuf;
use std::time::Duration;

/// Below this the MongoDB driver cannot finish its own retry after a failover: it waits half a second before it.
const DRIVER_RETRY: Duration = Duration::from_millis(510);
const LONGEST: Duration = Duration::from_secs(3600);

/// `[store]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which one.
    pub kind: StoreKind,
    /// How long a read may take.
    pub read_timeout: Duration,
    /// How long a write may take.
    pub write_timeout: Duration,
    /// The default for every route.
    pub when_down: WhenDown,
    /// The cache in front of it; the memory store has none.
    pub cache: Option<CacheSettings>,
}

/// The kinds of stores, each with the keys of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreKind {
    /// A file on this machine; seen from the directory of `proxy.toml`.
    Embedded {
        /// The database file.
        path: PathBuf,
    },
    /// MongoDB.
    Mongo(Mongo),
    /// In memory: gone with the process.
    Memory,
}

/// A collection in MongoDB.
#[derive(Clone, Debug, PartialEq)]
pub struct Mongo {
    /// The connection string, which may hold a password.
    pub uri: Secret,
    /// The database.
    pub database: String,
    /// The collection.
    pub collection: String,
    /// How `session` is stored.
    pub format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Embedded,
    Mongo,
    Memory,
}

/// Reads `[store]`. Also returns the place that says `mongodb`, if it does: such a store needs secrets.
pub(super) fn read(mut section: Section<'_, '_>) -> (Store, Option<std::ops::Range<usize>>) {
    let notes = section.notes;
    let kinds = [("embedded", Kind::Embedded), ("mongodb", Kind::Mongo), ("memory", Kind::Memory)];
    let named = section.take("kind");
    let is_unknown = named.is_some();
    let chosen = named.and_then(|entry| entry.choice(&kinds));
    // A kind that cannot be read says nothing about the other keys: they are taken as if each were in its place.
    let kind = chosen.as_ref().map(|kind| kind.value).or((!is_unknown).then_some(Kind::Embedded));
    let cache = cache(&mut section, kind.unwrap_or(Kind::Embedded));
    let mongo_at = chosen.filter(|_| kind == Some(Kind::Mongo)).map(|At { span, .. }| span);

    let path = take_of(&mut section, "path", kind, Kind::Embedded).and_then(Entry::text);
    let uri = take_of(&mut section, "uri", kind, Kind::Mongo);
    let [database, collection] = ["database", "collection"].map(|key| take_of(&mut section, key, kind, Kind::Mongo).and_then(name));
    let format = take_of(&mut section, "format", kind, Kind::Mongo);
    let format = format.and_then(|entry| entry.choice(&[("string", Format::String), ("document", Format::Document)]));
    if let (Some(at), None) = (&mongo_at, &uri) {
        let problem = Problem::error("the MongoDB store needs a `uri`").at(at, "without a `uri`");
        notes.add(problem.help("add uri = \"env:MONGODB_URI\" to `[store]`"));
    }
    let kind = match kind.unwrap_or(Kind::Embedded) {
        Kind::Embedded => {
            let path = path.map_or_else(|| "cloakroom.db".to_owned(), |path| path.value);
            StoreKind::Embedded { path: notes.beside_file(&path) }
        }
        Kind::Memory => StoreKind::Memory,
        Kind::Mongo => StoreKind::Mongo(Mongo {
            uri: uri.and_then(secrets::read_uri).unwrap_or_else(|| Secret::new("")),
            database: database.unwrap_or_else(|| "cloakroom".to_owned()),
            collection: collection.unwrap_or_else(|| "sessions".to_owned()),
            format: format.map_or(Format::String, |format| format.value),
        }),
    };
    let store = Store {
        read_timeout: read_timeout(&mut section, mongo_at.is_some()),
        write_timeout: section.duration("write_timeout", Duration::from_millis(1)..=LONGEST).unwrap_or(Duration::from_secs(2)),
        when_down: when_down(&mut section).unwrap_or_default(),
        cache,
        kind,
    };
    section.finish();
    (store, mongo_at)
}

/// Reads `when_down`, here and in a route.
pub(super) fn when_down(section: &mut Section<'_, '_>) -> Option<WhenDown> {
    let choices = [("unavailable", WhenDown::Unavailable), ("anonymous", WhenDown::Anonymous)];
    section.choice("when_down", &choices).map(|chosen| chosen.value)
}

/// Reads `cache`: a table, or `"off"`.
fn cache(section: &mut Section<'_, '_>, kind: Kind) -> Option<CacheSettings> {
    let entry = section.take("cache");
    if kind == Kind::Memory {
        if let Some(entry) = entry.filter(|entry| entry.as_text() != Some("off")) {
            let problem = Problem::error("the memory store has no use for a `cache`");
            entry.notes.add(problem.at(&entry.span, "not for this kind").help("remove it"));
        }
        return None;
    }
    let settings = CacheSettings { ttl: Duration::from_secs(2), sessions: 100_000, bytes: 128 << 20 };
    let Some(entry) = entry else { return Some(settings) };
    if entry.is_text() {
        entry.choice(&[("off", ())])?;
        return None;
    }
    let mut section = entry.section("[store.cache]")?;
    let read = CacheSettings {
        ttl: section.duration("ttl", Duration::from_millis(1)..=LONGEST).unwrap_or(settings.ttl),
        sessions: section.take("sessions").and_then(|entry| entry.number(&(1..=100_000_000))).unwrap_or(settings.sessions),
        bytes: section.size("bytes", 1 << 20..=1 << 40).map_or(settings.bytes, |bytes| bytes as u64),
    };
    section.finish();
    Some(read)
}

fn read_timeout(section: &mut Section<'_, '_>, is_mongo: bool) -> Duration {
    let notes = section.notes;
    let Some(entry) = section.take("read_timeout") else { return Duration::from_secs(1) };
    let span = entry.span.clone();
    let Some(timeout) = entry.duration_in(Duration::from_millis(1)..=LONGEST) else { return Duration::from_secs(1) };
    if is_mongo && timeout < DRIVER_RETRY {
        let problem = Problem::warning("`read_timeout` is shorter than the MongoDB driver's own retry");
        notes.add(problem.at(&span, "cuts the retry off").help("write \"510ms\" or more: a failover then costs no visitor an error"));
    }
    timeout
}

fn take_of<'n, 'i>(section: &mut Section<'n, 'i>, key: &'static str, kind: Option<Kind>, owner: Kind) -> Option<Entry<'n, 'i>> {
    let entry = section.take(key)?;
    let Some(kind) = kind.filter(|kind| *kind != owner) else { return Some(entry) };
    if key == "uri" {
        section.notes.hide(entry.span.clone());
    }
    let called = |kind| match kind {
        Kind::Embedded => "embedded",
        Kind::Mongo => "mongodb",
        Kind::Memory => "memory",
    };
    let problem = Problem::error(format!("`{key}` belongs to the {} store, and this one is {}", called(owner), called(kind)));
    let help = format!("remove it, or write kind = \"{}\"", called(owner));
    section.notes.add(problem.at(&entry.span, "not for this kind").help(help));
    None
}

fn name(entry: Entry<'_, '_>) -> Option<String> {
    if entry.as_text().is_some_and(|text| text.is_empty() || text.contains(['\0', '$'])) {
        entry.notes.add(entry.wrong("must not be empty or contain `$`"));
        return None;
    }
    entry.text().map(|text| text.value)
}

//! Records as documents: connect-mongo's fields, ours beside them, and the filters that keep the promises.

use super::super::{Applied, Found, Operation, StoreError, Tombstone, Touch, Version, Whose, json};
use super::errors::unavailable;
use super::{Format, values};
use crate::clock::Timestamp;
use crate::session::data::{Data, Field};
use crate::session::id::{Handle, SessionKey};
use crate::session::lifecycle::Lapse;
use crate::session::record::{Client, Credential, Epoch, Moved, Record, StoredCookie, WriteToken};
use mongodb::bson::raw::{BindRawBsonRef, CStr};
use mongodb::bson::{Bson, DateTime, Document, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf, cstr, doc, rawdoc};
use std::sync::Arc;
use std::time::Duration;

/// What a document needs beside a session's data, in bytes and mostly: growing costs more than writing.
const ROOM: usize = 1024;

/// The fields of a document that is written, and the names of those that the record lacks.
struct Fields {
    present: RawDocumentBuf,
    absent: RawDocumentBuf,
}

impl Fields {
    fn put(&mut self, name: &CStr, value: Option<impl BindRawBsonRef>) {
        match value {
            Some(value) => self.present.append(name, value),
            None => self.absent.append(name, ""),
        }
    }
}

/// How records are written and read.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    pub format: Format,
    pub configured_max_age: Option<Duration>,
}

impl Codec {
    /// A whole new document.
    pub fn new_document(&self, key: &SessionKey, record: &Record) -> Result<RawDocumentBuf, StoreError> {
        Ok(self.fields(rawdoc! { "_id": key.as_str() }, record, None)?.present)
    }

    /// `$set` and `$unset`, so that top-level fields of others survive. connect-mongo's `touchAfter` goes by `lastModified`: where a
    /// document has it, it is kept up to date.
    pub fn update(&self, seen: &Version, record: &Record, now: Timestamp) -> Result<RawDocumentBuf, StoreError> {
        let before = before(seen)?;
        let mut fields = self.fields(with_room(record.data.size() + ROOM), record, before)?;
        if before.is_some_and(|before| value(before, "lastModified").is_some()) {
            fields.present.append(cstr!("lastModified"), date(now));
        }
        let mut update = rawdoc! { "$set": fields.present };
        if !fields.absent.is_empty() {
            update.append(cstr!("$unset"), fields.absent);
        }
        Ok(update)
    }

    /// The version that a record has when this codec has written it; `None` if it cannot be written at all.
    pub fn version_after(&self, record: &Record, seen: Option<&Version>, now: Timestamp) -> Option<Version> {
        let before = match seen {
            Some(seen) => before(seen).ok()?,
            None => None,
        };
        let mut written = rawdoc! { "session": self.session(record, before).ok()? };
        if before.is_some_and(|before| value(before, "lastModified").is_some()) {
            written.append(cstr!("lastModified"), date(now));
        }
        Some(Version { revision: Some(record.revision), session: Some(written.as_bytes().into()) })
    }

    fn session(&self, record: &Record, before: Option<&RawDocument>) -> Result<RawBson, StoreError> {
        Ok(match self.format {
            _ if record.ended.is_some() => self.nothing().map_or(RawBson::Null, RawBson::from),
            Format::String => RawBson::String(json::write(&record.cookie, &record.data)),
            Format::Document => {
                let document = sub_document(record, before).map_err(|_| StoreError::TooLarge)?;
                RawBson::Document(RawDocumentBuf::try_from(&document).map_err(|_| StoreError::TooLarge)?)
            }
        })
    }

    /// The fields of a record behind those that are there already.
    fn fields(&self, already: RawDocumentBuf, record: &Record, before: Option<&RawDocument>) -> Result<Fields, StoreError> {
        let mut fields = Fields { present: already, absent: RawDocumentBuf::new() };
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        fields.put(cstr!("session"), Some(self.session(record, before)?));
        fields.put(cstr!("revision"), Some(number(record.revision)));
        fields.put(cstr!("expires"), record.expires_at.map(date));
        fields.put(cstr!("createdAt"), record.created_at.map(date));
        fields.put(cstr!("updatedAt"), record.updated_at.map(date));
        fields.put(cstr!("loginAt"), record.login_at.map(date));
        fields.put(cstr!("userId"), record.user.as_deref());
        fields.put(cstr!("handle"), record.handle.as_ref().map(Handle::as_str));
        fields.put(cstr!("lastWrite"), record.last_write.as_ref().map(|mark| mark.0.as_str()));
        fields.put(cstr!("ended"), record.ended.map(Lapse::as_str));
        fields.put(cstr!("credential"), record.credential.map(Credential::to_text));
        fields.put(cstr!("client"), record.client.as_ref().map(client_document));
        let own = record.max_age.map(|own| i64::try_from(own.as_millis()).unwrap_or(i64::MAX));
        fields.put(cstr!("maxAge"), own);
        fields.put(cstr!("epoch"), record.epoch.map(|epoch| number(epoch.0)));
        fields.put(cstr!("moved"), record.moved.as_ref().map(pointer));
        Ok(fields)
    }

    /// A `session` that Node readers take for none: a text, or null.
    fn nothing(&self) -> Option<&'static str> {
        match self.format {
            Format::String => Some("null"),
            Format::Document => None,
        }
    }

    /// The stage of an update that leaves a tombstone: but for when it began nothing else of the document stays, not even what others put
    /// there.
    pub fn burial(&self, tombstone: &Tombstone) -> Document {
        let why = tombstone.why.as_str();
        let (session, expires) = (self.nothing(), date(tombstone.until));
        // A document without `createdAt` goes on without.
        doc! { "$replaceWith": { "_id": "$_id", "session": session, "expires": expires, "createdAt": "$createdAt", "ended": why } }
    }

    /// Reads a document as hostile data: odd types of optional fields count as missing.
    ///
    /// Like connect-mongo's query, a document is alive if `expires` is a future date or missing altogether; any other type is not found.
    pub fn read(&self, document: &RawDocument, now: Timestamp) -> Result<Found, StoreError> {
        let expires_at = match document.get("expires") {
            Ok(None) => None,
            Ok(Some(RawBsonRef::DateTime(at))) => Some(Timestamp(at.timestamp_millis())),
            Ok(Some(_)) => return Ok(Found::Absent),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let ended = value(document, "ended").map(|why| why.as_str().map_or(Lapse::Unknown, Lapse::stored));
        let (cookie, data) = match value(document, "session") {
            _ if ended.is_some() => Default::default(),
            Some(RawBsonRef::String(text)) => json::parse(text).map_err(unreadable)?,
            Some(RawBsonRef::Document(session)) => parse_sub_document(session)?,
            _ => return Err(unreadable("the session field is missing or of another type")),
        };
        let revision = revision_in(document);
        let own = number(value(document, "maxAge"));
        let configured = self.configured_max_age.and_then(|length| i64::try_from(length.as_millis()).ok());
        // A Node app marks a session's own lifetime nowhere else; in documents of ours the mark decides.
        let own = if revision.is_none() { own.or(cookie.original_max_age.filter(|own| Some(*own) != configured)) } else { own };
        let record = Record {
            data,
            cookie,
            max_age: own.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            user: text(document, "userId"),
            created_at: moment(document, "createdAt"),
            updated_at: moment(document, "updatedAt").or_else(|| moment(document, "lastModified")),
            login_at: moment(document, "loginAt"),
            expires_at,
            revision: revision.unwrap_or(0),
            last_write: mark_of(document),
            handle: text(document, "handle").map(Handle::stored),
            client: client_of(document),
            moved: moved_of(document),
            ended,
            epoch: number(value(document, "epoch")).and_then(|epoch| u64::try_from(epoch).ok()).map(Epoch),
            credential: text(document, "credential").map(|text| Credential::stored(&text)),
        };
        let version = Version { revision, session: Some(seen_session(document)) };
        Ok(if record.is_live(now) { Found::Live(Arc::new(record), version) } else { Found::Expired(Arc::new(record)) })
    }
}

/// The filter of a compare-and-swap: this key, alive, this revision, and the `session` as read, because Node writers raise no revision.
pub fn exactly(key: &SessionKey, seen: &Version, now: Timestamp) -> Result<RawDocumentBuf, StoreError> {
    let absent = rawdoc! { "$exists": false };
    let alive = [rawdoc! { "expires": absent.clone() }, rawdoc! { "expires": { "$gt": date(now) } }];
    let alive: RawArrayBuf = alive.into_iter().collect();
    let mut filter = with_room(seen.session.as_ref().map_or(0, |session| session.len()) + ROOM);
    filter.append(cstr!("_id"), key.as_str());
    filter.append(cstr!("revision"), revision(seen));
    filter.append(cstr!("ended"), absent);
    filter.append(cstr!("$or"), alive);
    if let Some(session) = before(seen)?.and_then(|before| value(before, "session")) {
        let mut as_read = RawDocumentBuf::new();
        as_read.append(cstr!("$eq"), session);
        // Spelled out, because a sub-document may begin with a name that looks like an operator.
        filter.append(cstr!("session"), as_read);
    }
    Ok(filter)
}

/// The filter of a touch: neither a pointer nor a tombstone is ever kept alive.
pub fn touchable(key: &SessionKey, seen: &Version, now: Timestamp) -> RawDocumentBuf {
    touchable_where(key, seen, rawdoc! { "$gt": date(now) })
}

/// The filter of a touch of a record that never expires, which goes on to have no `expires`.
pub fn touchable_for_ever(key: &SessionKey, seen: &Version) -> RawDocumentBuf {
    touchable_where(key, seen, rawdoc! { "$exists": false })
}

fn touchable_where(key: &SessionKey, seen: &Version, expires: RawDocumentBuf) -> RawDocumentBuf {
    let absent = rawdoc! { "$exists": false };
    rawdoc! { "_id": key.as_str(), "revision": revision(seen), "moved": absent.clone(), "ended": absent, "expires": expires }
}

/// The filter of an end of many.
pub fn buried(whose: &Whose) -> Document {
    match whose {
        Whose::User(user) => doc! { "userId": user, "ended": absent() },
        // A date is never less than nothing, so who has none is asked for.
        Whose::Older(than) => {
            doc! { "ended": absent(), "$or": [{ "createdAt": { "$lt": date(*than) } }, { "createdAt": { "$not": { "$type": "date" } } }] }
        }
        Whose::Everybody => doc! { "ended": absent() },
    }
}

/// The filter of a page of a user's live sessions.
pub fn page(user: &str, after: Option<&Handle>, now: Timestamp) -> Document {
    let alive = [doc! { "expires": absent() }, doc! { "expires": { "$gt": date(now) } }];
    doc! { "userId": user, "handle": { "$gt": after.map_or("", Handle::as_str) }, "ended": absent(), "$or": alive.as_slice() }
}

fn absent() -> Document {
    doc! { "$exists": false }
}

/// Moves `expires` forward only.
pub fn touch(touch: &Touch) -> RawDocumentBuf {
    let mut set = rawdoc! { "updatedAt": date(touch.updated_at) };
    if let Some(client) = &touch.client {
        set.append(cstr!("client"), client_document(client));
    }
    let mut update = rawdoc! { "$set": set };
    if let Some(at) = touch.expires_at {
        update.append(cstr!("$max"), rawdoc! { "expires": date(at) });
    }
    update
}

/// Whether a document is alive, in connect-mongo's sense.
pub fn lives(document: &RawDocument, now: Timestamp) -> bool {
    match value(document, "expires") {
        _ if value(document, "ended").is_some() => false,
        None => true,
        Some(RawBsonRef::DateTime(at)) => at.timestamp_millis() > now.0,
        Some(_) => false,
    }
}

/// The random mark of a document's last write.
pub fn mark_of(document: &RawDocument) -> Option<WriteToken> {
    text(document, "lastWrite").map(WriteToken)
}

/// When a document's session was last in use.
pub fn used_at(document: &RawDocument) -> Option<Timestamp> {
    moment(document, "updatedAt")
}

/// The revision that a document has.
pub fn revision_in(document: &RawDocument) -> Option<u64> {
    value(document, "revision").and_then(revision_of)
}

/// What a later compare-and-swap must find unchanged, as the bytes of a small document.
fn seen_session(document: &RawDocument) -> Arc<[u8]> {
    let mut seen = RawDocumentBuf::new();
    for name in [cstr!("session"), cstr!("lastModified")] {
        if let Some(value) = value(document, name.as_str()) {
            seen.append(name, value);
        }
    }
    seen.as_bytes().into()
}

fn before(seen: &Version) -> Result<Option<&RawDocument>, StoreError> {
    let read = seen.session.as_deref().map(RawDocument::from_bytes);
    read.transpose().map_err(|error| unavailable(Operation::Update, Applied::No, error))
}

/// What the filter demands of `revision`: the number seen, or that there is none (whatever else a stranger may have put there).
fn revision(seen: &Version) -> RawBson {
    let exact = seen.revision.and_then(|revision| i64::try_from(revision).ok());
    exact.map_or_else(|| RawBson::Document(rawdoc! { "$not": { "$type": "number" } }), RawBson::Int64)
}

pub fn revision_of(value: RawBsonRef<'_>) -> Option<u64> {
    match value {
        RawBsonRef::Double(number) if number.fract() != 0.0 => None,
        value => u64::try_from(number(Some(value))?).ok(),
    }
}

/// connect-mongo's sub-document. A field whose JSON did not change keeps its stored BSON: dates stay dates.
fn sub_document(record: &Record, before: Option<&RawDocument>) -> Result<Document, values::TooDeep> {
    let old = before.and_then(|before| value(before, "session")).and_then(|session| session.as_document());
    let mut cookie = Document::new();
    for (name, member) in json::cookie_members(&record.cookie) {
        cookie.insert(name, cookie_value(name, &member, record)?);
    }
    let mut session = doc! { "cookie": cookie };
    session.extend(values::document(&record.data.to_json(), old)?);
    Ok(session)
}

fn cookie_value(name: &str, member: &serde_json::Value, record: &Record) -> Result<Bson, values::TooDeep> {
    match name {
        "expires" => Ok(record.cookie.expires.map_or(Bson::Null, |at| Bson::DateTime(date(at)))),
        _ => values::from_json(&member.to_string()),
    }
}

fn parse_sub_document(session: &RawDocument) -> Result<(StoredCookie, Data), StoreError> {
    let (mut cookie, mut fields) = (StoredCookie::default(), Vec::new());
    for element in session {
        let (name, found) = element.map_err(|error| unreadable(error.to_string()))?;
        match (name.as_str(), found) {
            ("cookie", RawBsonRef::Document(stored)) => {
                cookie.original_max_age = number(value(stored, "originalMaxAge"));
                cookie.expires = match value(stored, "expires") {
                    Some(RawBsonRef::DateTime(at)) => Some(Timestamp(at.timestamp_millis())),
                    Some(RawBsonRef::String(text)) => Timestamp::from_iso(text),
                    _ => None,
                };
            }
            ("cookie", _) => {}
            (name, found) => {
                let json = values::to_json(found).map_err(|error| unreadable(error.to_string()))?;
                fields.push(Field::new(name, json).ok_or_else(|| unreadable("a field is no JSON"))?);
            }
        }
    }
    Ok((cookie, Data::from_iter(fields)))
}

fn unreadable(reason: impl AsRef<str>) -> StoreError {
    StoreError::Unreadable { reason: reason.as_ref().to_owned() }
}

fn value<'a>(document: &'a RawDocument, name: &str) -> Option<RawBsonRef<'a>> {
    document.get(name).ok().flatten()
}

fn text(document: &RawDocument, name: &str) -> Option<String> {
    value(document, name)?.as_str().map(str::to_owned)
}

fn moment(document: &RawDocument, name: &str) -> Option<Timestamp> {
    Some(Timestamp(value(document, name)?.as_datetime()?.timestamp_millis()))
}

fn number(value: Option<RawBsonRef<'_>>) -> Option<i64> {
    match value? {
        RawBsonRef::Int32(number) => Some(number.into()),
        RawBsonRef::Int64(number) => Some(number),
        RawBsonRef::Double(number) if number.is_finite() => Some(number as i64),
        _ => None,
    }
}

/// An empty document that need not grow up to so many bytes.
fn with_room(bytes: usize) -> RawDocumentBuf {
    let mut empty = RawDocumentBuf::new().into_bytes();
    empty.reserve(bytes);
    RawDocumentBuf::from_bytes(empty).unwrap_or_default()
}

fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.0)
}

fn client_document(client: &Client) -> RawDocumentBuf {
    rawdoc! { "agent": client.agent.as_str(), "address": client.address.as_str() }
}

fn pointer(moved: &Moved) -> RawDocumentBuf {
    let mut pointer = rawdoc! { "to": moved.to.as_str() };
    if let Some(at) = moved.at {
        pointer.append(cstr!("at"), date(at));
    }
    pointer
}

fn client_of(document: &RawDocument) -> Option<Client> {
    let client = value(document, "client")?.as_document()?;
    Some(Client { agent: text(client, "agent")?, address: text(client, "address")? })
}

fn moved_of(document: &RawDocument) -> Option<Moved> {
    let moved = value(document, "moved")?.as_document()?;
    Some(Moved { to: SessionKey::stored(text(moved, "to")?), at: moment(moved, "at") })
}

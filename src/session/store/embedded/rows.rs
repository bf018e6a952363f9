//! Records as rows: the SQL of the embedded store.

use super::super::{Touch, Updated, Version, json};
use crate::clock::Timestamp;
use crate::session::id::{Handle, SessionKey};
use crate::session::record::{Client, Moved, Record, WriteToken};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::time::Duration;

const COLUMNS: &str = "session, expires, created_at, updated_at, user_id, login_at, handle, revision, last_write, agent, address, max_age, moved_to, moved_at";

/// A record as read, its text not yet understood.
pub struct Stored {
    session: String,
    rest: Record,
}

impl Stored {
    /// The record, or why its text is no session.
    pub fn into_record(self) -> Result<Record, String> {
        let (cookie, data) = json::parse(&self.session)?;
        Ok(Record { cookie, data, ..self.rest })
    }

    fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let moment = |at: usize| row.get::<_, Option<i64>>(first + at).map(|at| at.map(Timestamp));
        let text = |at: usize| row.get::<_, Option<String>>(first + at);
        let client = match (text(9)?, text(10)?) {
            (Some(agent), Some(address)) => Some(Client { agent, address }),
            _ => None,
        };
        let moved = match (text(12)?, moment(13)?) {
            (Some(to), Some(at)) => Some(Moved { to: SessionKey::stored(to), at }),
            _ => None,
        };
        let rest = Record {
            data: Default::default(),
            cookie: Default::default(),
            expires_at: moment(1)?,
            created_at: moment(2)?,
            updated_at: moment(3)?,
            user: text(4)?,
            login_at: moment(5)?,
            handle: text(6)?.map(Handle::stored),
            revision: row.get::<_, i64>(first + 7)?.max(0).unsigned_abs(),
            last_write: text(8)?.map(WriteToken),
            client,
            max_age: row.get::<_, Option<i64>>(first + 11)?.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs())),
            moved,
        };
        Ok(Stored { session: row.get(first)?, rest })
    }
}

/// Refuses a taken key by the primary key's constraint.
pub fn insert(db: &Connection, key: &SessionKey, record: &Record) -> rusqlite::Result<()> {
    let sql = format!("INSERT INTO sessions (key, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)");
    execute_with(db, &sql, key, record, None).map(drop)
}

pub fn find(db: &Connection, key: &SessionKey) -> rusqlite::Result<Option<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE key = ?1");
    db.prepare_cached(&sql)?.query_row([key.as_str()], |row| Stored::from_row(row, 0)).optional()
}

pub fn update(db: &Connection, key: &SessionKey, seen: &Version, record: &Record, now: Timestamp) -> rusqlite::Result<Updated> {
    const SQL: &str =
        "UPDATE sessions SET session = ?2, expires = ?3, created_at = ?4, updated_at = ?5, user_id = ?6, login_at = ?7, handle = ?8,
        revision = ?9, last_write = ?10, agent = ?11, address = ?12, max_age = ?13, moved_to = ?14, moved_at = ?15
        WHERE key = ?1 AND revision = ?16 AND (expires IS NULL OR expires > ?17)";
    let changed = execute_with(db, SQL, key, record, Some((seen, now)))?;
    if changed > 0 { Ok(Updated::Done) } else { stale_or_gone(db, key, now) }
}

pub fn touch(db: &Connection, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> rusqlite::Result<Updated> {
    const SQL: &str = "UPDATE sessions SET expires = max(expires, coalesce(?2, expires)), updated_at = ?3, agent = coalesce(?4, agent),
        address = coalesce(?5, address) WHERE key = ?1 AND revision = ?6 AND moved_to IS NULL AND (expires IS NULL OR expires > ?7)";
    let client = touch.client.as_ref();
    let changed = db.prepare_cached(SQL)?.execute(params![
        key.as_str(),
        touch.expires_at.map(|at| at.0),
        touch.updated_at.0,
        client.map(|c| &c.agent),
        client.map(|c| &c.address),
        revision(seen),
        now.0
    ])?;
    if changed > 0 { Ok(Updated::Done) } else { stale_or_gone(db, key, now) }
}

pub fn remove(db: &Connection, key: &SessionKey) -> rusqlite::Result<bool> {
    db.prepare_cached("DELETE FROM sessions WHERE key = ?1")?.execute([key.as_str()]).map(|rows| rows > 0)
}

pub fn remove_all_of(db: &Connection, user: &str) -> rusqlite::Result<u64> {
    db.prepare_cached("DELETE FROM sessions WHERE user_id = ?1")?.execute([user]).map(|rows| rows as u64)
}

pub fn list(db: &Connection, user: &str, now: Timestamp) -> rusqlite::Result<Vec<(SessionKey, Stored)>> {
    let sql = format!("SELECT key, {COLUMNS} FROM sessions WHERE user_id = ?1 AND (expires IS NULL OR expires > ?2)");
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params![user, now.0], |row| Ok((SessionKey::stored(row.get(0)?), Stored::from_row(row, 1)?)))?;
    rows.collect()
}

/// Removes at most `most` records that ended before `before`; how many.
pub fn sweep(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    const SQL: &str = "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE expires <= ?1 LIMIT ?2)";
    db.prepare_cached(SQL)?.execute(params![before.0, i64::try_from(most).unwrap_or(i64::MAX)])
}

fn stale_or_gone(db: &Connection, key: &SessionKey, now: Timestamp) -> rusqlite::Result<Updated> {
    const SQL: &str = "SELECT 1 FROM sessions WHERE key = ?1 AND (expires IS NULL OR expires > ?2)";
    let lives = db.prepare_cached(SQL)?.exists(params![key.as_str(), now.0])?;
    Ok(if lives { Updated::Stale } else { Updated::Gone })
}

/// Binds key and record as parameters 1 to 15, and what an update asks for as 16 and 17.
fn execute_with(
    db: &Connection,
    sql: &str,
    key: &SessionKey,
    record: &Record,
    condition: Option<(&Version, Timestamp)>,
) -> rusqlite::Result<usize> {
    let session = json::write(&record.cookie, &record.data);
    let moment = |at: Option<Timestamp>| at.map(|at| at.0);
    let client = record.client.as_ref();
    let moved = record.moved.as_ref();
    let mut statement = db.prepare_cached(sql)?;
    let (expires, created, updated, login) =
        (moment(record.expires_at), moment(record.created_at), moment(record.updated_at), moment(record.login_at));
    let max_age = record.max_age.and_then(|length| i64::try_from(length.as_millis()).ok());
    let fifteen: [&dyn rusqlite::ToSql; 15] = [
        &key.as_str(),
        &session,
        &expires,
        &created,
        &updated,
        &record.user,
        &login,
        &record.handle.as_ref().map(Handle::as_str),
        &i64::try_from(record.revision).unwrap_or(i64::MAX),
        &record.last_write.as_ref().map(|mark| &mark.0),
        &client.map(|c| &c.agent),
        &client.map(|c| &c.address),
        &max_age,
        &moved.map(|m| m.to.as_str()),
        &moved.map(|m| m.at.0),
    ];
    match condition {
        None => statement.execute(&fifteen[..]),
        Some((seen, now)) => {
            let mut all = fifteen.to_vec();
            let (revision, now) = (revision(seen), now.0);
            all.push(&revision);
            all.push(&now);
            statement.execute(&all[..])
        }
    }
}

fn revision(seen: &Version) -> i64 {
    seen.revision.and_then(|revision| i64::try_from(revision).ok()).unwrap_or(-1)
}

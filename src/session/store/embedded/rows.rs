//! Records as rows: the SQL of the embedded store.

use super::super::{Tombstone, Touch, Updated, Version, Whose, json};
use crate::clock::Timestamp;
use crate::session::id::{Handle, SessionKey};
use crate::session::lifecycle::Lapse;
use crate::session::record::{Client, Credential, Epoch, Moved, Record, WriteToken};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use std::time::Duration;

const COLUMNS: &str = "session, expires, created_at, updated_at, user_id, login_at, handle, revision, last_write, agent, address, max_age, moved_to, moved_at, ended,
    epoch, credential";

/// What the indexes can answer.
const BY_USER: &str = "user_id = :user";
const BY_PAGE: &str = "user_id = :user AND handle > :after";
const BY_HANDLE: &str = "handle = :handle";

/// Alive at the moment that is bound as `:now`.
const LIVE: &str = "ended IS NULL AND (expires IS NULL OR expires > :now)";

/// Records that are buried at once: nobody else's change waits longer than that takes.
pub const GRAVES: usize = 1000;

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
        let at = moment(13)?;
        let moved = text(12)?.map(|to| Moved { to: SessionKey::stored(to), at });
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
            ended: text(14)?.map(|word| Lapse::stored(&word)),
            epoch: row.get::<_, Option<i64>>(first + 15)?.map(|epoch| Epoch(epoch.max(0).unsigned_abs())),
            credential: text(16)?.map(|text| Credential::stored(&text)),
        };
        Ok(Stored { session: row.get(first)?, rest })
    }
}

/// Refuses a taken key by its constraint.
pub fn insert(db: &Connection, key: &SessionKey, record: &Record) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO sessions (key, {COLUMNS}, expiry_hour)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
    );
    execute_with(db, &sql, key, record, None).map(drop)
}

pub fn find(db: &Connection, key: &SessionKey) -> rusqlite::Result<Option<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE key = ?1");
    db.prepare_cached(&sql)?.query_row([key.as_str()], |row| Stored::from_row(row, 0)).optional()
}

/// `$more` is set too, where `$condition` holds. SQLite rewrites the entry of an index when one of its columns is set, be it to the same value.
macro_rules! update {
    ($more:literal, $condition:literal) => {
        concat!(
            "UPDATE sessions SET session = ?2, expires = ?3, created_at = ?4, updated_at = ?5, login_at = ?7, revision = ?9, last_write = ?10,
            agent = ?11, address = ?12, max_age = ?13, moved_to = ?14, moved_at = ?15, ended = ?16, epoch = ?17, credential = ?18",
            $more,
            " WHERE key = ?1 AND revision = ?20 AND ended IS NULL AND (expires IS NULL OR expires > ?21)",
            $condition
        )
    };
}

/// A change as nearly all are: what the indexes have of the record stays as it is.
const UPDATE: &str = update!("", " AND user_id IS ?6 AND handle IS ?8 AND expiry_hour IS ?19");
const UPDATE_INDEXED: &str = update!(", user_id = ?6, handle = ?8, expiry_hour = ?19", "");

pub fn update(db: &Connection, key: &SessionKey, seen: &Version, record: &Record, now: Timestamp) -> rusqlite::Result<Updated> {
    for sql in [UPDATE, UPDATE_INDEXED] {
        if execute_with(db, sql, key, record, Some((seen, now)))? > 0 {
            return Ok(Updated::Done);
        }
    }
    stale_or_gone(db, key, now)
}

macro_rules! touch {
    ($more:literal, $condition:literal) => {
        concat!(
            "UPDATE sessions SET expires = max(expires, coalesce(?2, expires)), updated_at = ?3, agent = coalesce(?4, agent),
            address = coalesce(?5, address)",
            $more,
            " WHERE key = ?1 AND revision = ?6 AND moved_to IS NULL AND ended IS NULL AND (expires IS NULL OR expires > ?7)",
            $condition
        )
    };
}

/// Within the same hour, as [`UPDATE`].
const TOUCH: &str = touch!("", " AND coalesce(expiry_hour >= ?8, TRUE)");
const TOUCH_INDEXED: &str = touch!(", expiry_hour = max(expiry_hour, coalesce(?8, expiry_hour))", "");

pub fn touch(db: &Connection, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> rusqlite::Result<Updated> {
    let client = touch.client.as_ref();
    for sql in [TOUCH, TOUCH_INDEXED] {
        let changed = db.prepare_cached(sql)?.execute(params![
            key.as_str(),
            touch.expires_at.map(|at| at.0),
            touch.updated_at.0,
            client.map(|c| &c.agent),
            client.map(|c| &c.address),
            revision(seen),
            now.0,
            touch.expires_at.map(hour)
        ])?;
        if changed > 0 {
            return Ok(Updated::Done);
        }
    }
    stale_or_gone(db, key, now)
}

/// The grain of the index by expiry: hours since the Unix epoch.
fn hour(expires: Timestamp) -> i64 {
    expires.0 / 3_600_000
}

pub fn remove(db: &Connection, key: &SessionKey) -> rusqlite::Result<bool> {
    db.prepare_cached("DELETE FROM sessions WHERE key = ?1")?.execute([key.as_str()]).map(|rows| rows > 0)
}

/// Buries some of those that are to go whose row ids are greater than `after`, the first ones first; which. Fewer than [`GRAVES`]: no more
/// are there.
pub fn bury(db: &Connection, whose: &Whose, tombstone: &Tombstone, after: i64) -> rusqlite::Result<Vec<i64>> {
    let bound: Option<&dyn rusqlite::ToSql> = match whose {
        Whose::User(user) => Some(user),
        Whose::Older(than) => Some(&than.0),
        Whose::Everybody => None,
    };
    let (until, hour, why) = (tombstone.until.0, hour(tombstone.until), tombstone.why.as_str());
    let mut values: Vec<(&str, &dyn rusqlite::ToSql)> = vec![(":until", &until), (":hour", &hour), (":why", &why), (":after", &after)];
    values.extend(bound.map(|bound| (":bound", bound)));
    db.prepare_cached(&burial(whose))?.query_map(&values[..], |row| row.get(0))?.collect()
}

fn burial(whose: &Whose) -> String {
    let condition = match whose {
        Whose::User(_) => "user_id = :bound",
        Whose::Older(_) => "(created_at IS NULL OR created_at < :bound)",
        Whose::Everybody => "TRUE",
    };
    format!(
        "UPDATE sessions SET session = '{{}}', expires = :until, expiry_hour = :hour, user_id = NULL, login_at = NULL, handle = NULL, revision = revision + 1,
        agent = NULL, address = NULL, moved_to = NULL, moved_at = NULL, ended = :why, epoch = NULL, credential = NULL
        WHERE id IN (SELECT id FROM sessions WHERE {condition} AND ended IS NULL AND id > :after ORDER BY id LIMIT {GRAVES}) RETURNING id"
    )
}

pub fn list(db: &Connection, user: &str, now: Timestamp) -> rusqlite::Result<Vec<(SessionKey, Stored)>> {
    let mut query = db.prepare_cached(&select(BY_USER))?;
    query.query_map(named_params! { ":user": user, ":now": now.0 }, keyed)?.collect()
}

pub fn page(db: &Connection, user: &str, after: &str, most: usize, now: Timestamp) -> rusqlite::Result<Vec<(SessionKey, Stored)>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut query = db.prepare_cached(&format!("{} ORDER BY handle LIMIT :most", select(BY_PAGE)))?;
    query.query_map(named_params! { ":user": user, ":after": after, ":most": most, ":now": now.0 }, keyed)?.collect()
}

pub fn with_handle(db: &Connection, handle: &Handle, now: Timestamp) -> rusqlite::Result<Vec<(SessionKey, Stored)>> {
    let mut query = db.prepare_cached(&select(BY_HANDLE))?;
    query.query_map(named_params! { ":handle": handle.as_str(), ":now": now.0 }, keyed)?.collect()
}

fn select(condition: &str) -> String {
    format!("SELECT key, {COLUMNS} FROM sessions WHERE {condition} AND {LIVE}")
}

fn keyed(row: &Row<'_>) -> rusqlite::Result<(SessionKey, Stored)> {
    Ok((SessionKey::stored(row.get(0)?), Stored::from_row(row, 1)?))
}

pub fn epoch(db: &Connection, user: &str) -> rusqlite::Result<Epoch> {
    let found = db.prepare_cached("SELECT epoch FROM epochs WHERE user_id = ?1")?.query_row([user], |row| row.get::<_, i64>(0));
    Ok(Epoch(found.optional()?.unwrap_or(0).max(0).unsigned_abs()))
}

pub fn raise_epoch(db: &Connection, user: &str, now: Timestamp, until: Timestamp) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO epochs (user_id, epoch, until) VALUES (?1, ?2, ?3)
        ON CONFLICT (user_id) DO UPDATE SET epoch = ?2, until = ?3";
    let raised = i64::try_from(epoch(db, user)?.raised(now).0).unwrap_or(i64::MAX);
    db.prepare_cached(SQL)?.execute(params![user, raised, until.0]).map(drop)
}

/// Forgets the epochs that nobody needs any more.
pub fn sweep_epochs(db: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM epochs WHERE until <= ?1")?.execute([now.0])
}

/// Removes at most `most` records that ended before `before`, which may wait until its hour is over; how many.
pub fn sweep(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    const SQL: &str = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expiry_hour < ?1 LIMIT ?2)";
    db.prepare_cached(SQL)?.execute(params![hour(before), i64::try_from(most).unwrap_or(i64::MAX)])
}

/// How many records there are. Reads an index from end to end.
pub fn count(db: &Connection) -> rusqlite::Result<u64> {
    let count: i64 = db.prepare_cached("SELECT count(*) FROM sessions")?.query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn stale_or_gone(db: &Connection, key: &SessionKey, now: Timestamp) -> rusqlite::Result<Updated> {
    let sql = format!("SELECT 1 FROM sessions WHERE key = :key AND {LIVE}");
    let lives = db.prepare_cached(&sql)?.exists(named_params! { ":key": key.as_str(), ":now": now.0 })?;
    Ok(if lives { Updated::Stale } else { Updated::Gone })
}

/// Binds key and record as parameters 1 to 19, and what an update asks for as 20 and 21.
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
    let nineteen: [&dyn rusqlite::ToSql; 19] = [
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
        &moved.and_then(|m| m.at).map(|at| at.0),
        &record.ended.map(Lapse::as_str),
        &record.epoch.map(|epoch| i64::try_from(epoch.0).unwrap_or(i64::MAX)),
        &record.credential.map(Credential::to_text),
        &record.expires_at.map(hour),
    ];
    match condition {
        None => statement.execute(&nineteen[..]),
        Some((seen, now)) => {
            let mut all = nineteen.to_vec();
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

#[cfg(test)]
mod tests {
    use super::super::file::open_for_writing;
    use super::*;

    #[test]
    fn what_is_asked_by_user_or_by_handle_goes_by_an_index() {
        let directory = tempfile::tempdir().unwrap();
        let db = open_for_writing(&directory.path().join("file.db")).unwrap();
        let page = format!("{} ORDER BY handle LIMIT :most", select(BY_PAGE));

        for sql in [select(BY_USER), page, select(BY_HANDLE)] {
            let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: Vec<String> = query.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<_>>().unwrap();
            let index = if sql.contains("WHERE handle") { "sessions_by_handle (handle=?" } else { "sessions_by_user (user_id=?" };
            assert!(plan.len() == 1 && plan.iter().all(|step| step.contains(index)), "{sql}: {plan:?}");
        }
        let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {}", burial(&Whose::User("ada".to_owned())))).unwrap();
        let plan: Vec<String> = query.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<_>>().unwrap();
        let steps = ["INTEGER PRIMARY KEY (rowid=?)", "LIST SUBQUERY", "sessions_by_user (user_id=?)", "TEMP B-TREE FOR ORDER BY"];
        assert!(plan.len() == 4 && plan.iter().zip(steps).all(|(step, is)| step.contains(is)), "{plan:?}");
    }

    #[test]
    fn an_end_of_very_many_goes_in_steps_that_leave_nobody_out() {
        let directory = tempfile::tempdir().unwrap();
        let db = open_for_writing(&directory.path().join("file.db")).unwrap();
        let tombstone = Tombstone { until: Timestamp(1), why: Lapse::Ended };
        db.execute_batch("BEGIN").unwrap();
        for n in 0..GRAVES * 2 + 1 {
            insert(&db, &SessionKey::stored(n.to_string()), &Record::default()).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();

        let (mut after, mut steps) = (0, Vec::new());
        while steps.last().is_none_or(|step| *step == GRAVES) {
            let buried = bury(&db, &Whose::Everybody, &tombstone, after).unwrap();
            after = buried.iter().copied().max().unwrap_or(after);
            steps.push(buried.len());
        }

        assert_eq!(steps, [GRAVES, GRAVES, 1]);
        assert_eq!(db.query_row("SELECT count(*) FROM sessions WHERE ended IS NULL", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn a_sweep_takes_what_ended_before_its_hour_however_the_end_was_moved() {
        const HOUR: i64 = 3_600_000;
        let directory = tempfile::tempdir().unwrap();
        let db = open_for_writing(&directory.path().join("file.db")).unwrap();
        let (key, now) = (SessionKey::stored("k".to_owned()), Timestamp(0));
        let until = |hours: i64| Record { expires_at: Some(Timestamp(hours * HOUR + 1)), ..Record::default() };
        let seen = Version { revision: Some(0), session: None };
        let kept = |hours: i64| sweep(&db, Timestamp(hours * HOUR), 10).unwrap() == 0;
        insert(&db, &SessionKey::stored("endless".to_owned()), &Record::default()).unwrap();

        insert(&db, &key, &until(2)).unwrap();
        assert!(kept(2));
        update(&db, &key, &seen, &until(4), now).unwrap();
        assert!(kept(4));
        touch(&db, &key, &seen, &Touch { expires_at: until(6).expires_at, updated_at: now, client: None }, now).unwrap();
        assert!(kept(6));
        bury(&db, &Whose::Everybody, &Tombstone { until: Timestamp(8 * HOUR), why: Lapse::Ended }, 0).unwrap();
        assert!(kept(8));

        assert_eq!(sweep(&db, Timestamp(9 * HOUR), 10).unwrap(), 2);
    }
}

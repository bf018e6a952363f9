//! What only the embedded store promises: one process, one file, and nothing acknowledged is lost.

use crate::Bench;
use crate::records::{LATER, NOW, changed, created, key, loaded, record, touch};
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::Record;
use cloakroom::session::store::embedded::{EmbeddedStore, Limits, OpenError};
use cloakroom::session::store::{Found, SessionStore as _, StoreError, Tombstone, Updated, Whose};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const CHILD: &str = "CLOAKROOM_TEST_CRASH_FILE";
/// Long enough for a slow machine; reached by a failure only.
const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { read: Duration::from_secs(10), write: Duration::from_secs(20) };

pub async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("cloakroom.db"), LIMITS).unwrap();
    Bench { store: Box::new(store), _directory: Some(directory) }
}

fn check(path: &Path, pragma: &str) -> String {
    let file = rusqlite::Connection::open(path).unwrap();
    file.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, rusqlite::types::Value>(0)).map(|v| format!("{v:?}")).unwrap()
}

#[tokio::test]
async fn records_survive_a_restart_and_nothing_but_the_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let first = EmbeddedStore::open(&path, LIMITS).unwrap();
    created(&first, "k", record()).await;

    drop(first);

    let mut left: Vec<String> = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["cloakroom.db", "cloakroom.db.lock"]);
    let second = EmbeddedStore::open(&path, LIMITS).unwrap();
    assert_eq!(loaded(&second, "k").await.0, record());
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_has_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let _first = EmbeddedStore::open(&path, LIMITS).unwrap();

    let Err(refused) = EmbeddedStore::open(&path, LIMITS) else { panic!("two stores on one file") };

    assert!(matches!(&refused, OpenError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{refused}");
}

#[tokio::test]
async fn the_end_of_everybody_is_waited_for_longer_than_a_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let patient = EmbeddedStore::open(&path, LIMITS).unwrap();
    let names: Vec<_> = (0..5000).map(|number| key(&number.to_string())).collect();
    for some in names.chunks(500) {
        futures_util::future::try_join_all(some.iter().map(|name| patient.create(name, Arc::new(record())))).await.unwrap();
    }
    drop(patient);
    let store = EmbeddedStore::open(&path, Limits { write: Duration::ZERO, ..LIMITS }).unwrap();

    let buried = store.bury(&Whose::Everybody, &Tombstone { why: Lapse::Revoked, until: LATER }).await;

    assert_eq!(buried.unwrap(), 5000);
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("cloakroom.db"), LIMITS).unwrap();
    created(&store, "k", record()).await;

    let modes: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777))
        .collect();

    assert!(modes.len() == 4 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[tokio::test]
async fn what_is_no_file_of_ours_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("text.db"), "this is no database, however long it may be ".repeat(100)).unwrap();
    rusqlite::Connection::open(path("other.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    drop(EmbeddedStore::open(&path("newer.db"), LIMITS).unwrap());
    rusqlite::Connection::open(path("newer.db")).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();

    let refused = |name: &str| EmbeddedStore::open(&path(name), LIMITS).err();

    assert!(matches!(refused("text.db"), Some(OpenError::Database { .. })));
    assert!(matches!(refused("other.db"), Some(OpenError::Foreign { .. })));
    assert!(matches!(refused("newer.db"), Some(OpenError::Newer { layout: 99, .. })));
    assert!(matches!(refused("no/such/directory.db"), Some(OpenError::NoDirectory { .. })));
    assert!(std::fs::read_to_string(path("text.db")).unwrap().starts_with("this is no database"));
}

#[tokio::test]
async fn an_unreadable_record_is_told_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let store = EmbeddedStore::open(&path, LIMITS).unwrap();
    created(&store, "k", record()).await;
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE sessions SET session = '{bad'", []).unwrap();

    let found = store.load(&key("k"), NOW).await;

    assert!(matches!(found, Err(StoreError::Unreadable { .. })), "{found:?}");
    assert_eq!(store.list("ada", NOW).await.unwrap(), vec![]);
    assert!(store.remove(&key("k")).await.unwrap());
}

/// What the process does that the next test kills: it changes records and prints each change that was acknowledged.
async fn change_until_killed(path: &Path) {
    let store = Arc::new(EmbeddedStore::open(path, LIMITS).unwrap());
    let writers = (0..4).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let name = format!("writer {writer}");
            if matches!(store.load(&key(&name), NOW).await.unwrap(), Found::Absent) {
                store.create(&key(&name), Arc::new(Record { revision: 0, ..record() })).await.unwrap();
            }
            loop {
                let (old, version) = loaded(store.as_ref(), &name).await;
                let next = changed(&old, "n", &(old.revision + 1).to_string());
                assert_eq!(store.update(&key(&name), &version, Arc::new(next), NOW).await.unwrap(), Updated::Done);
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {writer} {}", old.revision + 1).unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Some(path) = std::env::var_os(CHILD) {
        return change_until_killed(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for cycle in 0..15_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded_only::nothing_acknowledged_is_lost_when_the_process_is_killed", "--nocapture", "--quiet"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (told, telling) = std::sync::mpsc::channel();
        // Nobody listens any more once the process is killed.
        let note = move |_: &String| told.send(()).unwrap_or_default();
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).inspect(note).collect::<Vec<_>>());
        // In the middle of its work, each time somewhere else.
        for _ in 0..4 + (cycle * 37) % 120 {
            telling.recv_timeout(PATIENCE).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reader.join().unwrap() {
            let mut words = line.split(' ').skip_while(|word| !word.ends_with("acknowledged")).skip(1);
            if let (Some(writer), Some(Ok(revision))) = (words.next(), words.next().map(str::parse)) {
                acknowledged.insert(format!("writer {writer}"), revision);
            }
        }

        let store = EmbeddedStore::open(&path, LIMITS).unwrap();
        for (name, revision) in &mut acknowledged {
            let (stored, _) = loaded(&store, name).await;
            // One more may have been stored than was told.
            assert!((*revision..=*revision + 1).contains(&stored.revision), "{name}: {revision} told, {} stored", stored.revision);
            assert_eq!(stored.data.json_of("n"), Some(stored.revision.to_string().as_str()));
            // The next child may be killed before it tells of a write of this one.
            *revision = stored.revision;
        }
        drop(store);
        assert_eq!(check(&path, "integrity_check"), "Text(\"ok\")");
    }
    assert!(acknowledged.values().sum::<u64>() > 100, "the children did hardly anything: {acknowledged:?}");
}

#[tokio::test]
async fn the_header_says_whose_file_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let store = EmbeddedStore::open(&path, LIMITS).unwrap();
    store.create(&key("k"), Arc::new(Record { expires_at: Some(LATER), ..record() })).await.unwrap();

    let header = ["application_id", "user_version", "auto_vacuum", "journal_mode"].map(|pragma| check(&path, pragma));

    assert_eq!(header, ["Integer(1131178866)", "Integer(4)", "Integer(2)", "Text(\"wal\")"]);
}

/// What earlier versions wrote, from what this one does: each step leads one layout back.
const BACK: [&str; 3] = [
    "CREATE TABLE older (
        key TEXT PRIMARY KEY, session TEXT NOT NULL, expires INTEGER, created_at INTEGER, updated_at INTEGER, user_id TEXT,
        login_at INTEGER, handle TEXT, revision INTEGER NOT NULL, last_write TEXT, agent TEXT, address TEXT, max_age INTEGER,
        moved_to TEXT, moved_at INTEGER, ended TEXT, epoch INTEGER, credential TEXT
    ) STRICT, WITHOUT ROWID;
    INSERT INTO older SELECT key, session, expires, created_at, updated_at, user_id, login_at, handle, revision, last_write, agent, address,
        max_age, moved_to, moved_at, ended, epoch, credential FROM sessions;
    DROP TABLE sessions;
    ALTER TABLE older RENAME TO sessions;
    CREATE INDEX sessions_by_user ON sessions (user_id, handle) WHERE user_id IS NOT NULL;
    CREATE INDEX sessions_by_handle ON sessions (handle) WHERE handle IS NOT NULL;
    CREATE INDEX sessions_by_expiry ON sessions (expires) WHERE expires IS NOT NULL;
    PRAGMA user_version = 3;",
    "ALTER TABLE sessions DROP COLUMN credential; PRAGMA user_version = 2;",
    "DROP INDEX sessions_by_handle; DROP INDEX sessions_by_user; CREATE INDEX sessions_by_user ON sessions (user_id, expires) WHERE user_id IS NOT NULL;
    ALTER TABLE sessions DROP COLUMN ended; ALTER TABLE sessions DROP COLUMN epoch; DROP TABLE epochs; PRAGMA user_version = 1;",
];

/// A record of an earlier layout, so many steps back, and the schema beside that of a new file.
async fn brought_up_to_date(steps: usize, record: Record) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let store = EmbeddedStore::open(&path, LIMITS).unwrap();
    created(&store, "k", record.clone()).await;
    store.create(&key("endless"), Arc::new(Record { expires_at: None, ..record.clone() })).await.unwrap();
    drop(store);
    let schema = || -> String {
        let file = rusqlite::Connection::open(&path).unwrap();
        file.query_row("SELECT group_concat(sql, ';' ORDER BY name) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
    };
    let newest = schema();
    rusqlite::Connection::open(&path).unwrap().execute_batch(&BACK[..steps].concat()).unwrap();

    let store = EmbeddedStore::open(&path, LIMITS).unwrap();

    assert_eq!(loaded(&store, "k").await.0, record);
    assert_eq!(loaded(&store, "endless").await.0.expires_at, None);
    assert_eq!(store.find(&record.handle.unwrap(), NOW).await.unwrap().len(), 2);
    assert_eq!(schema(), newest);
    assert_eq!(check(&path, "integrity_check"), "Text(\"ok\")");
}

#[tokio::test]
async fn a_file_of_the_third_layout_is_brought_up_to_date() {
    brought_up_to_date(1, record()).await;
}

#[tokio::test]
async fn a_file_of_the_second_layout_is_brought_up_to_date() {
    brought_up_to_date(2, Record { credential: None, ..record() }).await;
}

#[tokio::test]
async fn a_file_of_the_first_layout_is_brought_up_to_date() {
    brought_up_to_date(3, Record { credential: None, epoch: None, ..record() }).await;
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_the_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let store = EmbeddedStore::open(&path, LIMITS).unwrap();
    created(&store, "k", record()).await;
    drop(store);
    // One of the last statements meets a table of the name that it wants.
    let in_the_way = "DROP INDEX sessions_by_handle; CREATE TABLE sessions_by_handle (x);";
    rusqlite::Connection::open(&path).unwrap().execute_batch(&[BACK[0], in_the_way].concat()).unwrap();

    let refused = EmbeddedStore::open(&path, LIMITS).err();

    assert!(matches!(refused, Some(OpenError::Database { .. })), "{refused:?}");
    assert_eq!(check(&path, "user_version"), "Integer(3)");
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE sessions_by_handle").unwrap();
    assert_eq!(loaded(&EmbeddedStore::open(&path, LIMITS).unwrap(), "k").await.0, record());
}

/// In a file as small as this one, each index has a page of its own: one that is written again would show in the log.
#[tokio::test]
async fn a_change_within_the_hour_writes_one_page_whatever_the_indexes_hold() {
    const PAGE_IN_LOG: u64 = 24 + 4096;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloakroom.db");
    let store = EmbeddedStore::open(&path, LIMITS).unwrap();
    let log = || std::fs::metadata(directory.path().join("cloakroom.db-wal")).unwrap().len();
    let (old, version) = created(&store, "k", record()).await;
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let next = Record { expires_at: Some(LATER.plus(minute)), ..changed(&old, "n", "1") };
    let begun = log();

    store.update(&key("k"), &version, Arc::new(next), NOW).await.unwrap();
    let updated = log();
    let (next, version) = loaded(&store, "k").await;
    store.touch(&key("k"), &version, &touch(Some(LATER.plus(2 * minute))), NOW).await.unwrap();
    let touched = log();
    let signed_out = Record { user: None, expires_at: Some(LATER.plus(hour)), ..changed(&next, "n", "2") };
    store.update(&key("k"), &version, Arc::new(signed_out), NOW).await.unwrap();

    assert_eq!((updated - begun, touched - updated), (PAGE_IN_LOG, PAGE_IN_LOG));
    assert_eq!(log() - touched, 4 * PAGE_IN_LOG, "a page of the rows, and one of each index but that by key");
}

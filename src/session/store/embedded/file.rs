//! The file itself: who may open it, what is in it, and the secret that lies beside it.

use crate::secret::Secret;
use crate::session::id::hex;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// "Clkr" in the file's header: `file` and `sqlite3` can tell whose it is.
const APPLICATION_ID: i32 = 0x436c_6b72;

/// The layout that this version writes. A newer file is refused, an older one is migrated here.
const LAYOUT: i32 = 4;

/// Older versions may corrupt a file when two connections checkpoint at once (fixed in 3.51.3).
const OLDEST_SQLITE: i32 = 3_051_003;

const FIRST_LAYOUT: &str = "
    CREATE TABLE sessions (
        key TEXT PRIMARY KEY, session TEXT NOT NULL, expires INTEGER, created_at INTEGER, updated_at INTEGER, user_id TEXT,
        login_at INTEGER, handle TEXT, revision INTEGER NOT NULL, last_write TEXT, agent TEXT, address TEXT, max_age INTEGER,
        moved_to TEXT, moved_at INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user_id, expires) WHERE user_id IS NOT NULL;
    CREATE INDEX sessions_by_expiry ON sessions (expires) WHERE expires IS NOT NULL;";

const SECOND_LAYOUT: &str = "
    ALTER TABLE sessions ADD COLUMN ended TEXT;
    ALTER TABLE sessions ADD COLUMN epoch INTEGER;
    DROP INDEX sessions_by_user;
    CREATE INDEX sessions_by_user ON sessions (user_id, handle) WHERE user_id IS NOT NULL;
    CREATE INDEX sessions_by_handle ON sessions (handle) WHERE handle IS NOT NULL;
    CREATE TABLE epochs (user_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

const THIRD_LAYOUT: &str = "ALTER TABLE sessions ADD COLUMN credential TEXT;";

/// Rows lie in the order in which sessions began, so those in use share pages and the tree above them stays flat; and what an index has in it
/// seldom changes: of the expiry only the hour.
const FOURTH_LAYOUT: &str = "
    ALTER TABLE sessions RENAME TO older;
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, session TEXT NOT NULL, expires INTEGER, created_at INTEGER, updated_at INTEGER,
        user_id TEXT, login_at INTEGER, handle TEXT, revision INTEGER NOT NULL, last_write TEXT, agent TEXT, address TEXT, max_age INTEGER,
        moved_to TEXT, moved_at INTEGER, ended TEXT, epoch INTEGER, credential TEXT, expiry_hour INTEGER
    ) STRICT;
    INSERT INTO sessions (key, session, expires, created_at, updated_at, user_id, login_at, handle, revision, last_write, agent, address,
        max_age, moved_to, moved_at, ended, epoch, credential, expiry_hour)
        SELECT key, session, expires, created_at, updated_at, user_id, login_at, handle, revision, last_write, agent, address,
        max_age, moved_to, moved_at, ended, epoch, credential, expires / 3600000 FROM older;
    DROP TABLE older;
    CREATE INDEX sessions_by_user ON sessions (user_id, handle) WHERE user_id IS NOT NULL;
    CREATE INDEX sessions_by_handle ON sessions (handle) WHERE handle IS NOT NULL;
    CREATE INDEX sessions_by_expiry ON sessions (expiry_hour) WHERE expiry_hour IS NOT NULL;";

/// What leads from each layout to the next; an empty file has layout 0.
const STEPS: [&str; LAYOUT as usize] = [FIRST_LAYOUT, SECOND_LAYOUT, THIRD_LAYOUT, FOURTH_LAYOUT];

/// Why the file cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the session file {path} is in use by another Cloakroom (process {pid}); stop that one, or give this one a path of its own")]
    InUse { path: PathBuf, pid: String },
    #[error("the directory of the session file {path} does not exist; make it first")]
    NoDirectory { path: PathBuf },
    #[error("could not open the session file {path}: {source}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not open the session file {path}: {source}; if it is damaged, move it away or run `sqlite3 {path} .recover`")]
    Database {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("{path} is a database of another program; name another path")]
    Foreign { path: PathBuf },
    #[error("{path} was written by a newer Cloakroom (layout {layout}, this one knows {LAYOUT}); use that version")]
    Newer { path: PathBuf, layout: i32 },
    #[error("SQLite {found} is too old: at least 3.51.3 is needed")]
    OldSqlite { found: &'static str },
    #[error("could not start the session file's writer: {0}")]
    Thread(#[source] io::Error),
}

/// An exclusive lock on `<path>.lock`, which holds our process id.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        if path.parent().is_some_and(|directory| directory != Path::new("") && !directory.is_dir()) {
            return Err(OpenError::NoDirectory { path: path.to_owned() });
        }
        let beside = with_suffix(path, ".lock");
        let failed = |source| OpenError::File { path: beside.clone(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&beside).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Without the number the message still tells what is wrong.
                let _ = file.read_to_string(&mut pid);
                return Err(OpenError::InUse { path: path.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Lock { _file: file })
    }
}

/// Opens the connection that writes; makes file and tables if need be.
pub fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite { found: rusqlite::version() });
    }
    // Made by us, so that the mode is right before SQLite writes into it; its -wal and -shm take the same mode.
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    check_owner(&connection, path)?;
    prepare(&connection).map_err(failed)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(std::time::Duration::from_millis(500))?;
        connection.pragma_update(None, "cache_size", -2048)?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Database { path: path.to_owned(), source })
}

fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let (owner, layout) = (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (owner, tables) {
        (APPLICATION_ID, _) if layout > LAYOUT => Err(OpenError::Newer { path: path.to_owned(), layout }),
        (APPLICATION_ID, _) | (0, 0) => Ok(()),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_millis(500))?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // With a log the same as FULL; a migration's journal is gone for good before anything follows it.
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    migrate(connection)?;
    // Readers that never wait, and commits that cost one flush, need it: a file system without shared memory is refused.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| match row.get_ref(0)?.as_str() {
        Ok("wal") => Ok(()),
        _ => Err(no_log()),
    })
}

/// All or nothing. A million sessions take seconds, and as much disk again, which later sessions use.
fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let layout: u16 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = STEPS.get(usize::from(layout)..).unwrap_or_default().concat();
    if steps.is_empty() {
        return Ok(());
    }
    if layout > 0 {
        tracing::info!(layout, newest = LAYOUT, "bringing the session file up to date");
    }
    // A write-ahead log would grow to twice the file.
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.execute_batch(&format!("BEGIN; {steps} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT}; COMMIT;"))
}

fn no_log() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some("this file system cannot keep a write-ahead log".to_owned()))
}

/// The signing secret for who configured none: 32 random bytes as hex in `<path>.secret`, mode 0600, made at first start.
pub fn secret_beside(path: &Path, entropy: &dyn crate::random::Entropy) -> io::Result<Secret> {
    let beside = with_suffix(path, ".secret");
    let found = match fs::read_to_string(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_secret(&beside, entropy)?;
            fs::read_to_string(&beside)
        }
        found => found,
    };
    let text = found.map_err(|error| about(&beside, &error))?;
    match text.trim() {
        "" => Err(about(&beside, &io::Error::new(io::ErrorKind::InvalidData, "it is empty; remove it, or configure [session] secrets"))),
        text => Ok(Secret::new(text)),
    }
}

/// Written under another name first, so that neither a crash nor another process ever sees half a secret; an existing one stays.
fn make_secret(beside: &Path, entropy: &dyn crate::random::Entropy) -> io::Result<()> {
    let (mut secret, mut name) = ([0; 32], [0; 8]);
    entropy.fill(&mut secret);
    entropy.fill(&mut name);
    let draft = with_suffix(beside, &format!(".{}", hex(&name)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(hex(&secret).as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&draft, beside))
        .and_then(|()| sync_directory_of(beside));
    // A draft that stays is clutter, no danger.
    let _ = fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(about(beside, &error)),
        _ => Ok(()),
    }
}

/// A new name survives a loss of power only with its directory.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsEntropy;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_secret_is_made_once_and_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cloakroom.db");

        let (first, second) = (secret_beside(&path, &OsEntropy).unwrap(), secret_beside(&path, &OsEntropy).unwrap());

        let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.iter().map(|file| file.file_name()).collect::<Vec<_>>(), ["cloakroom.db.secret"]);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(first == second && first.expose_secret().len() == 64);
    }

    #[test]
    fn every_commit_is_flushed_and_so_is_the_directory_of_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open_for_writing(&directory.path().join("cloakroom.db")).unwrap();

        let extra = 3;
        assert_eq!(connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i32>(0)).unwrap(), extra);
    }

    #[test]
    fn an_empty_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cloakroom.db");
        fs::write(with_suffix(&path, ".secret"), "\n").unwrap();

        assert_eq!(secret_beside(&path, &OsEntropy).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

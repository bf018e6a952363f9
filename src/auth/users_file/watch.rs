//! Notices that a users file has changed.
//!
//! A look at the file's metadata each second, rather than the system's notifications: those say nothing on network mounts, lose the file
//! when an editor puts another in its place, and see a half-written one. A changed file is read when it has stood still from one look to
//! the next. One that is missing in several looks in a row is no users, as it is at the start.

use super::{ReadError, UsersFile, read};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::UnboundedSender;

const EVERY: Duration = Duration::from_secs(1);

/// Looks in a row that do not find the file before its users are gone: some editors and copying programs remove a file first.
const GONE: u32 = 5;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Missing,
    /// Nobody can tell, such as in a folder that is closed to us.
    Hidden,
    There {
        modified: Option<SystemTime>,
        length: u64,
        /// The inode and when it changed: also who may read the file.
        inode: (u64, i64, i64),
    },
}

/// Remembers what of a file has been seen and read.
#[derive(Default)]
pub(super) struct Watch {
    /// What is in use, or was refused; outer `None`: not known yet.
    settled: Option<Stamp>,
    seen: Option<Stamp>,
    /// Looks in a row that did not find the file.
    missed: u32,
}

impl UsersFile {
    /// Looks at the file each second until the file's owner or the listener is gone. Tells the names of users whose sessions must end.
    pub fn keep_fresh(self: &Arc<Self>, tell: UnboundedSender<String>) {
        let file = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut watch = Watch::default();
            while !tell.is_closed() {
                tokio::time::sleep(EVERY).await;
                let Some((watched, ousted)) = look_aside(file.clone(), watch).await else { return };
                // Nobody listens: the process is about to end.
                ousted.into_iter().for_each(|user| drop(tell.send(user)));
                watch = watched;
            }
        });
    }
}

/// Files are read on a blocking thread. `None`: the file's owner is gone.
async fn look_aside(file: Weak<UsersFile>, mut watch: Watch) -> Option<(Watch, Vec<String>)> {
    let looked = tokio::task::spawn_blocking(move || {
        let ousted = watch.look(&*file.upgrade()?);
        Some((watch, ousted))
    });
    looked.await.ok().flatten()
}

impl Watch {
    /// One look. Returns the users whose sessions must end.
    pub(super) fn look(&mut self, file: &UsersFile) -> Vec<String> {
        let now = stamp(&file.path);
        self.missed = if now == Stamp::Missing { self.missed.saturating_add(1) } else { 0 };
        if self.settled == Some(now) {
            self.seen = None;
            return Vec::new();
        }
        if self.seen != Some(now) {
            self.seen = Some(now);
            return Vec::new();
        }
        let contents = read(&file.path);
        if stamp(&file.path) != now {
            return Vec::new();
        }
        let is_missing = contents.as_ref().is_ok_and(|contents| contents.is_missing);
        if is_missing && self.missed < GONE {
            return Vec::new();
        }
        let is_gone = is_missing && !file.users().is_empty();
        let is_first = self.settled.replace(now).is_none();
        match contents {
            Ok(contents) => {
                for doubt in contents.doubts.iter().filter(|_| !is_first) {
                    tracing::warn!("{doubt}; this user cannot sign in");
                }
                let count = contents.users.len();
                let ousted = file.replace(contents.users);
                if is_gone {
                    let (file, sessions_end_of) = (file.path.display(), ousted.len());
                    tracing::error!(%file, sessions_end_of, "the users file is gone: nobody in it may sign in, and their sessions end");
                } else if !is_first {
                    tracing::info!(file = %file.path.display(), users = count, sessions_end_of = ousted.len(), "the users file has changed");
                }
                ousted
            }
            Err(error @ ReadError::Unreadable { .. }) => {
                tracing::error!("{error}; the users stay as they were");
                Vec::new()
            }
            Err(ReadError::Faulty(faults, remains)) => {
                let out = file.replace(remains.obeyed(&file.users()));
                let error = ReadError::Faulty(faults, remains);
                tracing::error!(
                    ?out,
                    "{error}; until that is mended, those who are not in the file any more, or disabled in it, are out, and all else stays as it was"
                );
                out
            }
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    match std::fs::metadata(path) {
        Ok(of) => Stamp::There { modified: of.modified().ok(), length: of.len(), inode: inode(&of) },
        Err(error) if error.kind() == ErrorKind::NotFound => Stamp::Missing,
        Err(_) => Stamp::Hidden,
    }
}

#[cfg(unix)]
fn inode(of: &std::fs::Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    (of.ino(), of.ctime(), of.ctime_nsec())
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}

//! The model: what one visitor was told of one session, and so what either proxy may show of it.

use serde_json::Value;
use std::time::{Duration, Instant};

/// What the app keeps in a session: numbers that only grow.
pub const FIELDS: [&str; 3] = ["f0", "f1", "f2"];

/// The promise of `src/README.md`: the others know after max(`ttl`, 1 s) + `read_timeout`, here with the defaults.
pub const BOUND: Duration = Duration::from_secs(2 + 1);
/// What a busy machine may add to it.
pub const SLACK: Duration = Duration::from_millis(1500);

/// An acknowledgement: by which proxy, and when it was in the visitor's hands.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    pub by: usize,
    pub at: Instant,
}

impl Ack {
    pub fn now(by: usize) -> Self {
        Ack { by, at: Instant::now() }
    }

    /// Whether an answer of `proxy` to a question of that moment must know of it.
    pub fn binds(&self, proxy: usize, asked: Instant) -> bool {
        asked >= self.at && (proxy == self.by || asked >= self.at + BOUND + SLACK)
    }
}

/// What the app was told of a visitor: nothing, or the headers of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub user: Option<String>,
    pub handle: Option<String>,
    pub data: Value,
}

/// A value that was sent. Without an acknowledgement it may be stored or not, now or in a while.
#[derive(Clone, Debug)]
struct Written {
    value: u64,
    stored: Option<Ack>,
}

/// A session that its visitor has not ended.
pub struct Ticket {
    pub cookie: String,
    /// The one before the last renewal.
    former: Option<String>,
    /// Empty until the first look has told it.
    pub handle: String,
    user: String,
    fields: [Vec<Written>; FIELDS.len()],
}

impl Ticket {
    /// A login was acknowledged that put `value` into every field.
    pub fn new(cookie: String, user: String, value: u64, ack: Ack) -> Self {
        let written = || vec![Written { value, stored: Some(ack) }];
        Ticket { cookie, former: None, handle: String::new(), user, fields: [written(), written(), written()] }
    }

    /// A new id was told.
    pub fn renewed(&mut self, cookie: String) {
        self.former = Some(std::mem::replace(&mut self.cookie, cookie));
    }

    /// A change was sent, and acknowledged if there is an `ack`.
    pub fn changed(&mut self, field: usize, value: u64, ack: Option<Ack>) {
        self.fields[field].push(Written { value, stored: ack });
    }

    /// What is wrong with what a proxy showed in answer to a question of the moment `asked`, if anything is.
    pub fn objection(&self, shown: &Shown, proxy: usize, asked: Instant) -> Option<String> {
        match &shown.user {
            None => return Some("a visitor was signed out".to_owned()),
            Some(user) if *user != self.user => return Some(format!("{} was taken for {user}", self.user)),
            Some(_) if !self.handle.is_empty() && shown.handle.as_deref() != Some(&self.handle) => {
                return Some(format!("another session of {}", self.user));
            }
            Some(_) => {}
        }
        let wrong = (0..FIELDS.len()).find_map(|field| {
            let (value, written) = (shown.data[FIELDS[field]].as_u64(), &self.fields[field]);
            let acknowledged = written.iter().filter(|one| one.stored.is_some_and(|ack| ack.binds(proxy, asked)));
            let floor = acknowledged.map(|one| one.value).max();
            let is_known = written.iter().any(|one| Some(one.value) == value);
            (!is_known || value < floor).then_some((field, value, floor))
        });
        let (field, value, floor) = wrong?;
        let written: Vec<_> = self.fields[field].iter().rev().take(5).map(|one| (one.value, one.stored.map(|ack| ack.by))).collect();
        let ages: Vec<_> =
            self.fields[field].iter().rev().take(5).map(|one| one.stored.map(|ack| asked.saturating_duration_since(ack.at))).collect();
        Some(format!(
            "{} is {value:?} and must be {floor:?} at least; sent, latest first: {written:?}, acknowledged before {ages:?}",
            FIELDS[field]
        ))
    }

    /// The values that the store may hold when all is quiet: the last one acknowledged, or one sent later.
    pub fn may_hold(&self, data: &Value) -> bool {
        let fields = self.fields.iter().zip(FIELDS);
        fields.into_iter().all(|(written, name)| {
            let floor = written.iter().filter(|one| one.stored.is_some()).map(|one| one.value).max();
            let value = data[name].as_u64();
            value >= floor && written.iter().any(|one| Some(one.value) == value)
        })
    }

    /// It was ended, under each of its ids.
    pub fn ended(self, ack: Ack, is_confirmed: bool) -> impl Iterator<Item = Ghost> {
        let ids = self.former.into_iter().chain([self.cookie]);
        ids.map(move |cookie| Ghost { cookie, handle: self.handle.clone(), ack, is_confirmed })
    }
}

/// A session that its visitor has ended, and tries to use all the same.
pub struct Ghost {
    pub cookie: String,
    pub handle: String,
    ack: Ack,
    /// Else the proxy said that the store had not confirmed it: then only this proxy has promised anything yet.
    is_confirmed: bool,
}

impl Ghost {
    pub fn objection(&self, shown: &Shown, proxy: usize, asked: Instant) -> Option<String> {
        let is_over = if self.is_confirmed { self.ack.binds(proxy, asked) } else { proxy == self.ack.by };
        let age = asked.saturating_duration_since(self.ack.at);
        (is_over && *shown != Shown::nobody())
            .then(|| format!("an ended session was seen again (ended by {}, {age:?} ago, confirmed: {})", self.ack.by, self.is_confirmed))
    }
}

impl Shown {
    pub fn nobody() -> Self {
        Shown { user: None, handle: None, data: Value::Null }
    }
}

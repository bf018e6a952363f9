//! A tap on a memory store: it writes down every call, fails the one it is told to, and can make each call wait for a permit.

use async_trait::async_trait;
use cloakroom::clock::Timestamp;
use cloakroom::session::id::{Handle, SessionKey};
use cloakroom::session::record::{Epoch, Record};
use cloakroom::session::store::{
    Applied, Found, MemoryStore, Operation, SessionStore, Sighting, StoreError, Tombstone, Touch, Updated, Version, Whose,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Surely not applied.
    Refused,
    /// The caller cannot know; it was not applied.
    Lost,
    /// The caller cannot know; it was applied.
    Landed,
}

pub const FAULTS: [Fault; 3] = [Fault::Refused, Fault::Lost, Fault::Landed];

#[derive(Debug, Default)]
pub struct Tap {
    inner: Arc<MemoryStore>,
    calls: Mutex<Vec<Operation>>,
    plan: Mutex<Option<Plan>>,
    fired: AtomicBool,
    down: AtomicBool,
    gate: Option<Semaphore>,
    /// The only operation that waits at the gate; `None`: all do.
    held: Option<Operation>,
    waiting: AtomicUsize,
    /// Who came last to the gate.
    next: Mutex<Option<Operation>>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    first: usize,
    count: usize,
    fault: Fault,
}

impl Tap {
    /// A tap on a store that others tap too; each call waits for [`Tap::step`] once the gate is there.
    pub fn on(inner: Arc<MemoryStore>, gated: bool) -> Self {
        Tap { inner, gate: gated.then(|| Semaphore::new(0)), ..Tap::default() }
    }

    /// Only these calls wait.
    pub fn holding(operation: Operation) -> Self {
        Tap { gate: Some(Semaphore::new(0)), held: Some(operation), ..Tap::default() }
    }

    /// The calls since the last time this was asked.
    pub fn calls(&self) -> Vec<Operation> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// From now on, the calls from the `first`-th on fail, `count` of them.
    pub fn fail(&self, first: usize, count: usize, fault: Fault) {
        self.calls();
        *self.plan.lock().unwrap() = Some(Plan { first, count, fault });
        self.fired.store(false, Ordering::SeqCst);
    }

    /// Ends the faults; whether one struck.
    pub fn heal(&self) -> bool {
        *self.plan.lock().unwrap() = None;
        self.fired.load(Ordering::SeqCst)
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Lets one call through.
    pub fn step(&self) {
        self.gate.as_ref().expect("a gated tap").add_permits(1);
    }

    /// How many calls wait at the gate.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// For which call the gate will be opened next, if one waits.
    pub fn next(&self) -> Option<Operation> {
        self.next.lock().unwrap().filter(|_| self.waiting() > 0)
    }

    async fn arrive(&self, operation: Operation) -> Option<Fault> {
        if let Some(gate) = &self.gate
            && self.held.is_none_or(|held| held == operation)
        {
            *self.next.lock().unwrap() = Some(operation);
            self.waiting.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.expect("the gate is never closed").forget();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(operation);
            calls.len()
        };
        if self.down.load(Ordering::SeqCst) {
            return Some(Fault::Refused);
        }
        let plan = (*self.plan.lock().unwrap())?;
        let strikes = (plan.first..plan.first + plan.count).contains(&number);
        self.fired.fetch_or(strikes, Ordering::SeqCst);
        strikes.then_some(plan.fault)
    }

    async fn pass<T>(&self, operation: Operation, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let fault = self.arrive(operation).await;
        let applied = match fault {
            None => return call.await,
            Some(Fault::Refused) => Applied::No,
            Some(Fault::Lost) => Applied::Unknown,
            Some(Fault::Landed) => {
                let _ = call.await;
                Applied::Unknown
            }
        };
        Err(StoreError::Unavailable { during: operation, applied, source: "a fault of the test".into() })
    }
}

#[async_trait]
impl SessionStore for Tap {
    async fn create(&self, key: &SessionKey, record: Arc<Record>) -> Result<(), StoreError> {
        self.pass(Operation::Create, self.inner.create(key, record)).await
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Found, StoreError> {
        self.pass(Operation::Load, self.inner.load(key, now)).await
    }

    async fn update(&self, key: &SessionKey, seen: &Version, record: Arc<Record>, now: Timestamp) -> Result<Updated, StoreError> {
        self.pass(Operation::Update, self.inner.update(key, seen, record, now)).await
    }

    async fn touch(&self, key: &SessionKey, seen: &Version, touch: &Touch, now: Timestamp) -> Result<Updated, StoreError> {
        self.pass(Operation::Touch, self.inner.touch(key, seen, touch, now)).await
    }

    async fn remove(&self, key: &SessionKey) -> Result<bool, StoreError> {
        self.pass(Operation::Remove, self.inner.remove(key)).await
    }

    async fn bury(&self, whose: &Whose, tombstone: &Tombstone) -> Result<u64, StoreError> {
        let Whose::User(user) = whose else { return self.pass(Operation::Bury, self.inner.bury(whose, tombstone)).await };
        // Like a real scan, which sees what is there when it begins and takes its time: what is inserted behind it, it misses.
        let scanned = self.pass(Operation::List, self.inner.list(user, Timestamp(0))).await?;
        self.pass(Operation::Bury, async {
            for (key, _) in &scanned {
                if let Found::Live(found, version) = self.inner.load(key, Timestamp(0)).await?
                    && found.user.as_ref() == Some(user)
                {
                    let left = Record::clone(&found).tombstone(tombstone.why, tombstone.until);
                    self.inner.update(key, &version, Arc::new(left), Timestamp(0)).await?;
                }
            }
            Ok(scanned.len() as u64)
        })
        .await
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        self.pass(Operation::List, self.inner.list(user, now)).await
    }

    async fn page(&self, user: &str, after: Option<&Handle>, most: usize, now: Timestamp) -> Result<Vec<Arc<Record>>, StoreError> {
        self.pass(Operation::List, self.inner.page(user, after, most, now)).await
    }

    async fn find(&self, handle: &Handle, now: Timestamp) -> Result<Vec<Sighting>, StoreError> {
        self.pass(Operation::Find, self.inner.find(handle, now)).await
    }

    async fn epoch(&self, user: &str) -> Result<Epoch, StoreError> {
        self.pass(Operation::Epoch, self.inner.epoch(user)).await
    }

    async fn raise_epoch(&self, user: &str, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        self.pass(Operation::RaiseEpoch, self.inner.raise_epoch(user, now, until)).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

//! A tap on a memory store: it writes down every call, fails the one it is told to, and can make each call wait for a permit.

use async_trait::async_trait;
use cloakroom::clock::Timestamp;
use cloakroom::session::id::SessionKey;
use cloakroom::session::record::Record;
use cloakroom::session::store::{Applied, Found, MemoryStore, Operation, SessionStore, StoreError, Touch, Updated, Version};
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

    /// Only loads wait.
    pub fn holding_loads() -> Self {
        Tap { gate: Some(Semaphore::new(0)), held: Some(Operation::Load), ..Tap::default() }
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

    async fn arrive(&self, operation: Operation) -> Option<Fault> {
        if let Some(gate) = &self.gate
            && self.held.is_none_or(|held| held == operation)
        {
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

    async fn remove_all_of(&self, user: &str) -> Result<u64, StoreError> {
        self.pass(Operation::RemoveAll, self.inner.remove_all_of(user)).await
    }

    async fn list(&self, user: &str, now: Timestamp) -> Result<Vec<(SessionKey, Arc<Record>)>, StoreError> {
        self.pass(Operation::List, self.inner.list(user, now)).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

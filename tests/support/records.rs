//! Records to try a store with, and the ways to put one in and get it back.

use cloakroom::clock::Timestamp;
use cloakroom::session::id::{Handle, SessionKey};
use cloakroom::session::record::{Client, Credential, Data, Epoch, Field, Record, StoredCookie, WriteToken};
use cloakroom::session::store::{Found, SessionStore, Touch, Version};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The present of these tests lies years ahead, so that no sweep or TTL thread, which go by the real clock, ever takes part.
pub const NOW: Timestamp = Timestamp(2_200_000_000_000);
pub const LATER: Timestamp = Timestamp(NOW.0 + 3_600_000);

static WRITES: AtomicU64 = AtomicU64::new(1);

pub fn key(name: &str) -> SessionKey {
    SessionKey::stored(name.to_owned())
}

/// A record with every field, none of them at its default.
pub fn record() -> Record {
    Record {
        data: Data::parse(r#"{"userinfo":"ada","cart":[1,2.5,{"sku":"x","n":null}],"10":{},"ok":true}"#).unwrap(),
        cookie: StoredCookie { original_max_age: Some(3_600_000), expires: Some(LATER), ..StoredCookie::default() },
        max_age: Some(Duration::from_millis(86_400_001)),
        user: Some("ada".to_owned()),
        created_at: Some(NOW.minus(Duration::from_millis(12_345))),
        updated_at: Some(NOW.minus(Duration::from_millis(1))),
        login_at: Some(NOW.minus(Duration::from_millis(12_000))),
        expires_at: Some(LATER),
        revision: 1,
        last_write: Some(WriteToken("00112233445566778899aabbccddeeff".to_owned())),
        handle: Some(Handle::stored("ffeeddccbbaa99887766554433221100".to_owned())),
        client: Some(Client { agent: "Mozilla/5.0 (\"odd\")".to_owned(), address: "2001:db8::1".to_owned() }),
        moved: None,
        ended: None,
        epoch: Some(Epoch(1_700_000_000_000)),
        credential: Credential::parse("0123456789abcdef0123456789abcdef"),
    }
}

/// A record with nothing that may be absent.
pub fn bare() -> Record {
    Record { revision: 1, ..Record::default() }
}

/// The same after a change, by another writer.
pub fn changed(record: &Record, field: &str, json: &str) -> Record {
    let mut next = record.clone();
    next.data.put(Field::new(field, json.to_owned()).unwrap());
    next.revision += 1;
    next.last_write = Some(WriteToken(format!("{:032x}", WRITES.fetch_add(1, Ordering::Relaxed))));
    next
}

pub fn of_user(user: &str) -> Record {
    Record { user: Some(user.to_owned()), ..record() }
}

pub async fn created(store: &dyn SessionStore, name: &str, record: Record) -> (Record, Version) {
    store.create(&key(name), Arc::new(record)).await.unwrap();
    loaded(store, name).await
}

pub async fn loaded(store: &dyn SessionStore, name: &str) -> (Record, Version) {
    match store.load(&key(name), NOW).await.unwrap() {
        Found::Live(record, version) => (Record::clone(&record), version),
        other => panic!("{name} is not live: {other:?}"),
    }
}

pub fn touch(expires_at: Option<Timestamp>) -> Touch {
    Touch { expires_at, updated_at: NOW, client: None }
}

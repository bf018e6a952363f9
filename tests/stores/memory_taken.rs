//! What cached sessions take in memory: no more than is promised, and no more than is said.

use crate::mongod::Mongod;
use crate::records::{LATER, NOW, key, record};
use crate::slow_answer::SlowAnswer;
use cloakroom::clock::ManualClock;
use cloakroom::session::cookie::{Attributes, SameSite};
use cloakroom::session::id::Handle;
use cloakroom::session::record::{Client, Data, Record, StoredCookie, WriteToken};
use cloakroom::session::store::cached::CacheSettings;
use cloakroom::session::store::health::CacheHealth;
use cloakroom::session::store::mongo::Format;
use cloakroom::session::store::{CachedStore, MemoryStore, SessionStore};
use std::sync::Arc;
use std::time::Duration;

/// What `proxy.toml` says unless it is told otherwise.
const DEFAULT: CacheSettings = CacheSettings { ttl: Duration::from_secs(2), sessions: 100_000, bytes: 128 << 20 };

/// How the stored text of each session begins.
const COOKIE: &str = r#"{"cookie":{"originalMaxAge":86400000,"expires":"2039-09-18T23:33:20.000Z","secure":true,"httpOnly":true,"path":"/","sameSite":"lax"},"#;

/// Text that nobody could shorten: no byte tells anything of the next.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..length).map(|_| char::from(LETTERS[self.next() as usize % LETTERS.len()])).collect()
    }

    fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

/// A session whose stored text has `size` bytes, of a visitor with a common browser.
fn session(noise: &mut Noise, size: usize) -> Record {
    let name = noise.text(8);
    let data = format!(
        r#""userinfo":"{name}","email":"{name}@example.com","roles":["admin","editor"],"cart":[{{"sku":"{}","n":1}}],"csrfSecret":"{}","notes":""#,
        noise.text(8),
        noise.text(24),
    );
    let notes = noise.text(size - COOKIE.len() - data.len() - 2);
    let version = 120 + noise.next() % 20;
    let agent = match noise.next() % 4 {
        0 => {
            format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0 Some/{version}.{version}")
        }
        1 => format!(
            "Mozilla/5.0 (Linux; Android 14; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.6478.71 Mobile Safari/537.36"
        ),
        2 => {
            format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36")
        }
        _ => {
            format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36")
        }
    };
    Record {
        data: Data::parse(&format!("{{{data}{notes}\"}}")).unwrap(),
        cookie: StoredCookie {
            original_max_age: Some(86_400_000),
            expires: Some(LATER),
            attributes: Attributes {
                path: "/".to_owned(),
                http_only: true,
                secure: true,
                same_site: Some(SameSite::Lax),
                ..Attributes::default()
            },
        },
        max_age: None,
        user: Some(name),
        handle: Some(Handle::stored(noise.hex())),
        last_write: Some(WriteToken(noise.hex())),
        client: Some(Client { agent, address: format!("203.0.113.{}", noise.next() % 256) }),
        ..record()
    }
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Bytes by which the process grows when so many sessions are put into a cache, and what the cache says of itself.
async fn taken(store: Arc<dyn SessionStore>, settings: CacheSettings, sessions: usize, size: usize) -> (u64, CacheHealth) {
    let cached = CachedStore::new(Arc::new(SlowAnswer::like(store)), settings, Arc::new(ManualClock::at(NOW)));
    let mut noise = Noise(1);
    cached.create(&key("first"), Arc::new(session(&mut noise, size))).await.unwrap();
    let before = resident();

    for _ in 1..sessions {
        let name = noise.hex() + &noise.hex();
        cached.create(&key(&name), Arc::new(session(&mut noise, size))).await.unwrap();
    }

    let (taken, health) = (resident() - before, cached.health().cache.unwrap());
    println!("{} sessions of {size} bytes take {taken}, {} each; estimated {}", health.entries, taken / health.entries, health.bytes);
    (taken, health)
}

fn assert_few_bytes((taken, health): (u64, CacheHealth)) {
    assert!(health.entries > 99_000, "{health:?}");
    assert!(taken < 100_000_000, "{taken} bytes");
}

#[tokio::test]
async fn a_hundred_thousand_sessions_of_five_hundred_bytes_take_less_than_a_hundred_megabytes() {
    assert_few_bytes(taken(Arc::new(MemoryStore::default()), DEFAULT, 100_000, 500).await);
}

#[tokio::test]
async fn a_hundred_thousand_sessions_of_five_hundred_bytes_in_mongodb_take_less_than_a_hundred_megabytes() {
    let (store, _) = Mongod::shared().store(Format::String).await;

    assert_few_bytes(taken(Arc::new(store), DEFAULT, 100_000, 500).await);
}

/// What is freed does not leave the process, so each is a test of its own.
async fn assert_no_more_than_said(sessions: usize, size: usize) {
    let settings = CacheSettings { bytes: 64 << 20, ..DEFAULT };
    let (taken, health) = taken(Arc::new(MemoryStore::default()), settings, sessions, size).await;

    assert!(health.bytes <= 64 << 20 && health.bytes > 50 << 20, "{health:?}");
    assert!(taken < health.bytes * 9 / 8, "{taken} bytes, {health:?}");
}

#[tokio::test]
async fn what_is_cached_takes_no_more_memory_than_it_is_said_to() {
    assert_no_more_than_said(100_000, 500).await;
}

#[tokio::test]
async fn what_is_cached_of_large_sessions_takes_no_more_memory_than_it_is_said_to() {
    assert_no_more_than_said(20_000, 5_000).await;
}

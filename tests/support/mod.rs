//! What the integration tests share: the product as a process, a browser, an app, a database.
//!
//! Nothing here is a mock of the product: tests talk to the real binary over real sockets.
#![allow(dead_code, unused_imports)] // every test binary uses its own part

pub mod app;
pub mod browser;
pub mod cases;
pub mod cloakroom;
pub mod h2raw;
pub mod mongo;
pub mod oracles;
pub mod raw;
pub mod relay;
pub mod replica_set;
pub mod script;
pub mod wire;

pub use app::App;
pub use browser::{Browser, KeptAlive, Page};
pub use cloakroom::Cloakroom;
pub use mongo::Mongod;
pub use raw::{Raw, RawApp};
pub use relay::{Relay, Traffic};
pub use replica_set::ReplicaSet;
pub use script::Script;
pub use wire::exchange;

/// Bytes as text, one character each: header values compare exactly, whatever they hold.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// The inverse of [`latin1`]; text that is not Latin-1 goes out as UTF-8.
pub fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<_, _>>().unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// Sends a signal by name (`TERM`, `STOP`, `CONT`); the shell's own `kill`, because a bare machine has no other.
pub fn signal(pid: u32, name: &str) {
    let done = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("sh runs");
    assert!(done.success(), "could not send SIG{name} to {pid}");
}

/// Waits until every thread of a stopped process stands still: the signal returns before they do.
pub fn wait_until_frozen(pid: u32) {
    let stands = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    };
    while !std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten().all(stands) {
        std::thread::yield_now();
    }
}

/// Where the first `needle` begins.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

//! The session core without a server: what a visitor's cookie leads to, and what becomes of an answer's changes.

/// Whether a cache stands in front of each store: `sessions_cached.rs`.
const CACHED: bool = false;

mod sessions {
    mod bench;
    mod tap;

    mod change;
    mod clock;
    mod cookie;
    mod decisions;
    mod devices;
    mod down;
    mod end;
    mod faults;
    mod interleavings;
    mod lifetime;
    mod login;
    mod node;
    mod remember;
    mod renew;
}

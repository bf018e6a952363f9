//! The session core again, each proxy with a cache in front of its store in which nothing ages. Only what does not count store calls.

/// Read by the tests that both binaries share.
const CACHED: bool = true;

#[allow(dead_code)] // the modules that are left out use the rest
#[path = "sessions"]
mod sessions {
    #[allow(dead_code)] // the tests over a bare store use the rest
    mod bench;
    #[allow(dead_code)] // the same
    mod tap;

    mod clock;
    mod devices;
    mod end;
    mod faults;
    mod interleavings;
    mod login;
    mod node;
    mod remember;
    mod renew;
}

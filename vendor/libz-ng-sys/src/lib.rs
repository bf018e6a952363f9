//! Plain zlib under zlib-ng's crate name, so that `cargo build` needs no cmake.
//!
//! Pingora pulls in `flate2` with its `zlib-ng` backend for response compression, which Cloakroom never switches on
//! (compressing pages that carry session secrets invites BREACH). The two libraries share names and types.

pub use libz_sys::*;

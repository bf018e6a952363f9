//! Sessions: what they are, how they live, where they are kept. Knows no HTTP server and no TOML.

pub mod cookie;
pub mod data;
pub mod id;
pub mod record;
pub mod store;

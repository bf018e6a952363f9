//! Cloakroom: a reverse proxy that adds sessions in front of unmodified apps. `src/README.md` is the tour.

// Nothing that comes from outside ends the process. Tests may do all of this (`.clippy.toml`).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod access;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod edge;
pub mod endpoint;
pub mod header;
pub mod inbound;
pub mod mongo;
pub mod pages;
pub mod proxy;
pub mod random;
pub mod rejection;
pub mod reply;
pub mod route;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;

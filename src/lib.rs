//! Cloakroom: a reverse proxy that adds sessions in front of unmodified apps. `src/README.md` is the tour.

pub mod cli;
pub mod clock;
pub mod config;
pub mod random;
pub mod route;
pub mod secret;

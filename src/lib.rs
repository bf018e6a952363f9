//! Cloakroom: a reverse proxy that adds sessions in front of unmodified apps. `src/README.md` is the tour.

pub mod clock;
pub mod demo;
pub mod endpoint;
pub mod random;
pub mod secret;

//! Sessions: what they are, how they live, where they are kept. Knows no HTTP server and no TOML.
//!
//! Start with [`Sessions::resume`](sessions::Sessions::resume), then [`Sessions::commit`](sessions::Sessions::commit).

pub mod changes;
mod commit;
pub mod cookie;
pub mod data;
mod devices;
mod end;
mod ended;
mod flight;
pub mod id;
pub mod keyring;
pub mod lifecycle;
pub mod record;
pub mod sessions;
mod settle;
mod standing;
pub mod store;
mod succeed;
mod swap;
mod tally;
mod touch;

pub use changes::{Changes, Circumstances, CookieOrder, Dropped, End, Event, Outcome, Patch};
pub use devices::{Device, Page};
pub use sessions::{Session, Sessions, Visitor};
pub use standing::Standing;
pub use tally::Counts;

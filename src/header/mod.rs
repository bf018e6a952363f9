//! Headers on their way through: strip, then set; and what the app asks for in its answer.

pub mod caching;
pub mod cookie;
pub mod encode;
pub mod end;
pub mod forwarded;
pub mod lines;
pub mod names;
pub mod request;
pub mod response;
pub mod strip;
pub mod wardrobe;

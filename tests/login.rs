//! Signing in and out on our own pages: the real binary in front of an echo app, and the policy alone where time must move.
mod support;

#[path = "login/bench.rs"]
mod bench;
#[path = "login/demo.rs"]
mod demo;
#[path = "login/devices.rs"]
mod devices;
#[path = "login/flood.rs"]
mod flood;
#[path = "login/form.rs"]
mod form;
#[path = "login/journey.rs"]
mod journey;
#[path = "login/logout.rs"]
mod logout;
#[path = "login/lost_cookie.rs"]
mod lost_cookie;
#[path = "login/site.rs"]
mod site;
#[path = "login/standstill.rs"]
mod standstill;
#[allow(dead_code)] // the faults that are not struck here
#[path = "sessions/tap.rs"]
mod tap;
#[path = "login/users.rs"]
mod users;

//! The operator's way in: the admin API, the page over it, and `cloakroom session` over it and beside it.
mod support;

#[path = "admin/api.rs"]
mod api;
#[path = "admin/command.rs"]
mod command;
#[path = "admin/console.rs"]
mod console;
#[path = "admin/counts.rs"]
mod counts;
#[path = "admin/office.rs"]
mod office;

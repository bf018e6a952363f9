//! What routes ask of their visitors, and what becomes of those who do not have it.
mod support;

#[allow(dead_code)] // what only the login's own tests use
#[path = "login/site.rs"]
mod site;

mod access {
    mod bench;

    mod app_cookies;
    mod app_login;
    mod recipes;
    mod requirements;
    mod through_the_login;
    mod turned_away;
    mod way_back;
}

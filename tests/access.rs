//! What routes ask of their visitors, and what becomes of those who do not have it.
mod support;

mod access {
    mod bench;

    mod app_cookies;
    mod app_login;
    mod recipes;
    mod requirements;
    mod turned_away;
    mod way_back;
}

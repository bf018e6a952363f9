//! The `proxy.toml` that we ship: it is right, and so is all that it says in comments.

use super::{ROUTE, config, env, load_with, told};
use cloakroom::config::StoreKind;

/// The lines of the shipped file with the `#` of those taken away that `chosen` picks by their number.
fn shipped(chosen: impl Fn(usize, &str) -> bool) -> String {
    let lines = include_str!("../../proxy.toml").lines().enumerate().map(|(number, line)| match line.strip_prefix('#') {
        Some(key) if is_key(line) && chosen(number, key) => key.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    });
    lines.collect()
}

fn is_key(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|key| key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
}

#[test]
fn the_shipped_file_and_all_its_commented_keys_are_right() {
    assert_eq!(told(&shipped(|_, _| false)), "");
    assert_eq!(told(&shipped(|_, _| true)), "");
    let keys = include_str!("../../proxy.toml").lines().filter(|line| is_key(line)).count();
    assert!(keys > 60, "only {keys} commented keys were found");
}

#[test]
fn the_shipped_files_mongodb_keys_are_right() {
    let all = shipped(|_, key| !key.starts_with("path = \"cloakroom.db\""));

    let mongo = all.replace("kind = \"embedded\"", "kind = \"mongodb\"").replace("\n#   ", "\n");

    assert_eq!(told(&mongo), "");
    assert!(matches!(config(&mongo).store.kind, StoreKind::Mongo(_)));
}

#[test]
fn the_shipped_file_names_every_key() {
    let bogus = "qqqqqqqqqqqq = 1";
    let mut texts = vec![format!("{ROUTE}{bogus}"), format!("{ROUTE}require = {{ {bogus} }}")];
    for section in [
        "server",
        "server.limits",
        "admin",
        "store",
        "store.cache",
        "session",
        "session.cookie",
        "login",
        "login.throttle",
        "login.page",
        "headers",
        "upstreams.web",
        "log",
    ] {
        texts.push(format!("{ROUTE}[{section}]\n{bogus}"));
    }
    for text in texts {
        let seen = told(&text);
        let (_, keys) = seen.split_once("the keys here are ").unwrap();
        let keys: Vec<_> = keys.split('`').skip(1).step_by(2).filter(|key| !matches!(*key, "cookie" | "page" | "mongodb")).collect();

        let missing: Vec<_> = keys.iter().filter(|key| !include_str!("../../proxy.toml").contains(&format!("{key} = "))).collect();

        assert!(keys.len() >= 2 && missing.is_empty(), "{text}: {keys:?}, missing: {missing:?}");
    }
}

#[test]
fn a_torn_or_garbled_file_is_reported_and_never_a_panic() {
    let whole = shipped(|_, _| true);
    let places: Vec<usize> = whole.char_indices().map(|(at, _)| at).step_by(31).collect();

    for at in places {
        let torn = whole[..at].to_owned();
        let garbled = format!("{torn}\u{1b}é\"{}", &whole[at..]);
        for text in [torn, garbled] {
            let seen = load_with(&text, &env).map_or_else(|report| report, |(_, warnings)| warnings);

            assert!(!seen.render(false).contains('\u{1b}'), "at {at}");
        }
    }
}

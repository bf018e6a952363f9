//! What the operator is told of how much is going on.

use crate::office::{BEARER, ask, get, proxy, signed_in};
use crate::support::{App, Browser};
use serde_json::Value;

fn sum(list: &Value) -> u64 {
    list.as_array().expect("a list").iter().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn statistics_count_what_begins_and_ends_in_all_and_by_minute() {
    let app = App::start().await;
    let proxy = proxy(&app).await;
    let (_phone, _laptop, mut bob) = (signed_in(&proxy, "ada").await, signed_in(&proxy, "ada").await, signed_in(&proxy, "bob").await);
    let mut nobody = Browser::new(proxy.addr());
    nobody.get("/set?json=%7B%22a%22:1%7D").await;
    for path in ["/echo", "/set?json=%7B%22a%22:2%7D", "/renew", "/echo"] {
        nobody.get(path).await;
    }
    let before = get(&proxy, "/stats").await;
    assert_eq!((before["since_start"]["begun"].as_u64(), before["since_start"]["ended_by_others"].as_u64()), (Some(4), Some(0)));

    bob.get("/end").await;
    ask(&proxy, "DELETE", "/users/ada/sessions", &[BEARER]).await;
    let stats = get(&proxy, "/stats").await;

    let counted = |which: &str| (stats["since_start"][which].as_u64(), sum(&stats["by_minute"][which]));
    for (which, many) in [("begun", 4), ("logins", 3), ("ended_by_visitor", 1), ("ended_by_others", 2), ("requests", 12)] {
        assert_eq!(counted(which), (Some(many), many), "{which}: {stats}");
    }
    assert!(before["sessions_kept"].as_u64() >= Some(4), "{before}");
    let minutes = stats["by_minute"]["begun"].as_array().map(Vec::len);
    assert!((1..=60).contains(&minutes.unwrap_or_default()), "{stats}");
}

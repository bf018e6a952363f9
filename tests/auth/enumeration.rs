//! Whether a name exists cannot be told from the time of the answer (ASVS 6.3.8).

use super::site::hidden;
use super::support::{App, Browser, Cloakroom, Mongod};
use super::*;
use mongodb::bson::{Document, doc};
use std::time::Instant;

/// Enough work that it outweighs the rest, little enough for hundreds of tries.
const VISIBLE: Strength = Strength { memory: 2048, passes: 2, lanes: 1 };
const TRIES: usize = 200;

/// The Mann-Whitney rank test: how many standard deviations the ranks of `a` among both are away from what chance gives.
fn separation(a: &[Duration], b: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = a.iter().map(|time| (*time, true)).chain(b.iter().map(|time| (*time, false))).collect();
    all.sort();
    let ranks: f64 = all.iter().zip(1..).filter(|((_, is_a), _)| *is_a).map(|(_, rank)| f64::from(rank)).sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (u, mean) = (ranks - n * (n + 1.0) / 2.0, n * m / 2.0);
    (u - mean).abs() / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[test]
fn the_rank_test_sees_a_difference_that_is_there() {
    let around = |base: u64| (0..TRIES as u64).map(|n| Duration::from_micros(base + n * 7 % 100)).collect::<Vec<_>>();

    assert!(separation(&around(1000), &around(1000)) < 1.0);
    assert!(separation(&around(1000), &around(1040)) > 8.0);
}

/// Somewhere to try a name with a wrong password.
trait Door {
    async fn refuses(&mut self, name: &str);
}

impl Door for &Gate {
    async fn refuses(&mut self, name: &str) {
        assert_eq!(self.check(name, "wrong").await, Answer::Refused);
    }
}

/// The login page of the real binary. Its form may be sent often.
struct Form {
    browser: Browser,
    hidden: Vec<(String, String)>,
    _app: App,
    _proxy: Cloakroom,
}

impl Form {
    async fn at(login: &str, users: &str) -> Form {
        let app = App::start().await;
        let toml = format!(
            "[store]\nkind = \"memory\"\n[login]\nthrottle = {{ per_user = \"off\", per_client = \"off\" }}\n{login}\n[[routes]]\nupstream = \"{}\"\n",
            app.url()
        );
        let proxy = Cloakroom::with(&toml).file("users.toml", users).start().await;
        let mut browser = Browser::new(proxy.addr()).header("Accept", "text/html");
        let hidden = hidden(&browser.get("/login").await.text());
        Form { browser, hidden, _app: app, _proxy: proxy }
    }
}

impl Door for Form {
    async fn refuses(&mut self, name: &str) {
        let mut body = form_urlencoded::Serializer::new(String::new());
        let body = body.extend_pairs(&self.hidden).extend_pairs([("username", name), ("password", "wrong")]).finish();
        assert_eq!(self.browser.post("/login", body).await.status, 401);
    }
}

/// Interleaved tries with names of three kinds; the times of each.
async fn times(mut door: impl Door, names: [&str; 3]) -> [Vec<Duration>; 3] {
    let mut times = [const { Vec::new() }; 3];
    // Each kind comes after each other equally often.
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for number in 0..TRIES {
        for kind in ORDERS[number % 6] {
            let start = Instant::now();
            door.refuses(names[kind]).await;
            times[kind].push(start.elapsed());
        }
    }
    times
}

/// Whether nobody can tell alice, who may sign in, eve, whom nobody knows, and bob, who is disabled, from each other.
async fn assert_alike(door: impl Door) {
    let [known, unknown, disabled] = times(door, ["alice", "eve", "bob"]).await;

    // Chance alone exceeds 5 once in a million runs; without the comparison with nobody's hash it is about 17.
    let seen = [separation(&known, &unknown), separation(&known, &disabled), separation(&unknown, &disabled)];
    println!("standard deviations: {seen:?}");
    assert!(seen.iter().all(|z| *z < 5.0), "{seen:?}");
}

fn alice_and_bob() -> String {
    format!("[users.alice]\nhash = \"{0}\"\n[users.bob]\nhash = \"{0}\"\ndisabled = true\n", hash_of("correct horse", VISIBLE))
}

#[tokio::test]
async fn over_http_known_unknown_and_disabled_names_of_a_users_file_take_the_same_time() {
    let mut form = Form::at("", &alice_and_bob()).await;
    form.refuses("alice").await;

    assert_alike(form).await;
}

#[tokio::test]
async fn over_http_known_unknown_and_disabled_names_in_mongodb_take_the_same_time() {
    let mongod = Mongod::start().await;
    let users = mongod.client().await.database("shop").collection::<Document>("users");
    let hash = hash_of("correct horse", VISIBLE);
    users
        .insert_many([doc! { "username": "alice", "password": &hash }, doc! { "username": "bob", "password": &hash, "disabled": true }])
        .await
        .unwrap();
    let login = format!("[login.mongodb]\nuri = \"{}\"\ndatabase = \"shop\"\n", mongod.uri());
    let mut form = Form::at(&login, "").await;
    form.refuses("alice").await;

    assert_alike(form).await;
}

#[tokio::test]
async fn known_unknown_and_disabled_names_take_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::over(vec![SourceSettings::File(users_toml(folder.path(), &alice_and_bob()))], UNLIMITED).await;
    times(&gate, ["alice", "eve", "bob"]).await;

    assert_alike(&gate).await;
}

#[tokio::test]
async fn where_old_and_new_hashes_are_mixed_unknown_names_look_like_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".htpasswd");
    std::fs::write(&path, format!("a:{}\nb:{}\n", bcrypt::hash("x", 4).unwrap(), hash_of("x", Strength { memory: 16 << 10, ..VISIBLE })))
        .unwrap();
    let gate = Gate::over(vec![SourceSettings::File(path)], UNLIMITED).await;
    // The shortest of a few: load makes times longer, never shorter.
    let time = async |name: &str| {
        let mut shortest = Duration::MAX;
        for _ in 0..4 {
            let start = Instant::now();
            assert_eq!(gate.check(name, "wrong").await, Answer::Refused);
            shortest = shortest.min(start.elapsed());
        }
        shortest
    };
    let (quick, slow) = (time("a").await, time("b").await);
    let middle = (quick + slow) / 2;

    let mut slow_ones = 0;
    for number in 0..24 {
        slow_ones += usize::from(time(&format!("nobody{number}")).await > middle);
    }

    assert!(quick * 2 < slow, "bcrypt of 4 rounds {quick:?}, argon2id {slow:?}");
    // Fair coins fall outside once in ten thousand runs.
    assert!((3..=21).contains(&slow_ones), "{slow_ones} of 24 names that nobody has look like argon2id");
}
